//! The words of the model as arguments: listed in the help, completed by shells.
use clap::builder::{PossibleValuesParser, TypedValueParser};
use lvs_model::{desired::Method, words::Word};

/// A parser of the words of `T`.
pub(crate) fn word<T: Word + Send + Sync>() -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(T::TABLE.iter().map(|(word, _)| *word))
        .try_map(|word| T::from_word(&word))
}

/// A parser of forwarding methods that can be asked for; `local` follows from the address.
pub(crate) fn method() -> impl TypedValueParser<Value = Method> {
    let asked = Method::TABLE.iter().filter(|(_, method)| *method != Method::Local);
    PossibleValuesParser::new(asked.map(|(word, _)| *word)).try_map(|word| Method::from_word(&word))
}
