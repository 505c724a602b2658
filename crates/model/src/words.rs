//! The words of the outside, each table in one place: the file, the API and the clients share them.
use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serializer};

use crate::{
    desired::{CheckKind, Entries, Method, OnFailure, Protocol, Scheduler, SchedulerFlags, Stray},
    duration,
    nearest::nearest,
};

/// A closed set of values that the outside knows by words.
pub trait Word: Copy + PartialEq + 'static {
    /// What the words name, for messages: "scheduler".
    const WHAT: &'static str;
    /// Every value with its word, in the order in which they are listed to the operator.
    const TABLE: &'static [(&'static str, Self)];

    /// The word of this value.
    fn word(self) -> &'static str {
        Self::TABLE.iter().find(|(_, value)| *value == self).map_or("?", |(word, _)| word)
    }

    /// The value of a word.
    ///
    /// # Errors
    /// When the table does not have the word.
    fn from_word(word: &str) -> Result<Self, UnknownWord> {
        Self::TABLE.iter().find(|(known, _)| *known == word).map(|(_, value)| *value).ok_or_else(
            || UnknownWord {
                what: Self::WHAT,
                word: word.to_owned(),
                known: Self::TABLE.iter().map(|(known, _)| *known).collect(),
            },
        )
    }
}

/// A word that its table does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{word}`; {}", self.remedy())]
pub struct UnknownWord {
    /// What the word should have named.
    pub what: &'static str,
    /// The word.
    pub word: String,
    /// The words that exist.
    pub known: Vec<&'static str>,
}

impl UnknownWord {
    /// What to write instead.
    pub fn remedy(&self) -> String {
        match nearest(&self.word, self.known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", self.known.join(", ")),
        }
    }
}

impl Word for Protocol {
    const WHAT: &'static str = "protocol";
    const TABLE: &'static [(&'static str, Self)] = &[("tcp", Self::Tcp), ("udp", Self::Udp)];
}

impl Word for Scheduler {
    const WHAT: &'static str = "scheduler";
    const TABLE: &'static [(&'static str, Self)] = &[
        ("rr", Self::Rr),
        ("wrr", Self::Wrr),
        ("lc", Self::Lc),
        ("wlc", Self::Wlc),
        ("sh", Self::Sh),
        ("mh", Self::Mh),
    ];
}

impl Word for Method {
    const WHAT: &'static str = "forwarding method";
    const TABLE: &'static [(&'static str, Self)] = &[
        ("direct", Self::Direct),
        ("tunnel", Self::Tunnel),
        ("nat", Self::Nat),
        ("local", Self::Local),
    ];
}

impl Word for Entries {
    const WHAT: &'static str = "state";
    const TABLE: &'static [(&'static str, Self)] = &[("all", Self::All), ("moved", Self::Moved)];
}

impl Word for Stray {
    const WHAT: &'static str = "way of stray packets";
    const TABLE: &'static [(&'static str, Self)] = &[("hash", Self::Hash), ("stack", Self::Stack)];
}

impl Word for OnFailure {
    const WHAT: &'static str = "policy on failure";
    const TABLE: &'static [(&'static str, Self)] = &[("keep", Self::Keep), ("reset", Self::Reset)];
}

impl Word for CheckKind {
    const WHAT: &'static str = "type of check";
    const TABLE: &'static [(&'static str, Self)] = &[
        ("tcp", Self::Tcp),
        ("http", Self::Http),
        ("none", Self::None),
        ("service", Self::Service),
    ];
}

/// A flag of one scheduler, as the operator writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagWord {
    /// The scheduler that has the flag.
    pub scheduler: Scheduler,
    /// The flag's bit in [`SchedulerFlags`].
    pub bit: u8,
}

impl FlagWord {
    const fn new(scheduler: Scheduler, bit: u8) -> Self {
        Self { scheduler, bit }
    }
}

impl Word for FlagWord {
    const WHAT: &'static str = "scheduler flag";
    const TABLE: &'static [(&'static str, Self)] = &[
        ("sh-fallback", Self::new(Scheduler::Sh, SchedulerFlags::FALLBACK)),
        ("sh-port", Self::new(Scheduler::Sh, SchedulerFlags::PORT)),
        ("mh-fallback", Self::new(Scheduler::Mh, SchedulerFlags::FALLBACK)),
        ("mh-port", Self::new(Scheduler::Mh, SchedulerFlags::PORT)),
    ];
}

/// A flag that another scheduler has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no flag of the scheduler {}", self.flag.word(), self.scheduler.word())]
pub struct ForeignFlag {
    /// The flag.
    pub flag: FlagWord,
    /// The scheduler of the service.
    pub scheduler: Scheduler,
}

/// The flags' bits of words, for a service with this scheduler.
///
/// # Errors
/// When a word is a flag of another scheduler.
pub fn flags_from_words(
    scheduler: Scheduler,
    words: &[FlagWord],
) -> Result<SchedulerFlags, ForeignFlag> {
    words.iter().try_fold(SchedulerFlags::default(), |flags, flag| {
        if flag.scheduler == scheduler {
            Ok(SchedulerFlags(flags.0 | flag.bit))
        } else {
            Err(ForeignFlag { flag: *flag, scheduler })
        }
    })
}

/// The words of a scheduler's flags; bits that the scheduler does not have are left out.
pub fn flag_words(scheduler: Scheduler, flags: SchedulerFlags) -> Vec<FlagWord> {
    FlagWord::TABLE
        .iter()
        .map(|(_, flag)| *flag)
        .filter(|flag| flag.scheduler == scheduler && flags.0 & flag.bit != 0)
        .collect()
}

/// All bits that are flags of a scheduler.
pub(crate) fn known_flags(scheduler: Scheduler) -> SchedulerFlags {
    let of_scheduler = FlagWord::TABLE.iter().filter(|(_, flag)| flag.scheduler == scheduler);
    SchedulerFlags(of_scheduler.fold(0, |bits, (_, flag)| bits | flag.bit))
}

struct WordVisitor<T>(std::marker::PhantomData<T>);

impl<T: Word> serde::de::Visitor<'_> for WordVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}", T::WHAT)
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<T, E> {
        T::from_word(word).map_err(E::custom)
    }
}

/// Serde: a [`Word`] as a string.
pub mod word {
    use super::{Deserializer, Serializer, Word, WordVisitor};

    /// Writes the word.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<T: Word, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.word())
    }

    /// Reads a word.
    ///
    /// # Errors
    /// Those of the deserializer, and a word that the table does not have.
    pub fn deserialize<'de, T: Word, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        d.deserialize_str(WordVisitor(std::marker::PhantomData))
    }
}

/// Serde for words whose types are ours; those of `lvs-core` need the attribute on each field.
macro_rules! serde_as_word {
    ($($word:ty),*) => {$(
        impl serde::Serialize for $word {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                word::serialize(self, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $word {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                word::deserialize(deserializer)
            }
        }
    )*};
}

serde_as_word!(
    Entries,
    Stray,
    OnFailure,
    CheckKind,
    FlagWord,
    crate::validate::Field,
    crate::change::ServerMethod
);

/// A [`Word`] that serde writes as a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsWord<T: Word>(pub T);

impl<T: Word> serde::Serialize for AsWord<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        word::serialize(&self.0, serializer)
    }
}

impl<'de, T: Word> Deserialize<'de> for AsWord<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word::deserialize(deserializer).map(Self)
    }
}

/// Serde: an optional [`Word`].
pub mod word_option {
    use serde::Serialize;

    use super::{AsWord, Deserialize, Deserializer, Serializer, Word};

    /// Writes the word or null.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<T: Word, S: Serializer>(v: &Option<T>, s: S) -> Result<S::Ok, S::Error> {
        v.map(AsWord).serialize(s)
    }

    /// Reads a word or null.
    ///
    /// # Errors
    /// Those of the deserializer, and a word that the table does not have.
    pub fn deserialize<'de, T: Word, D: Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
        Ok(Option::<AsWord<T>>::deserialize(d)?.map(|word| word.0))
    }
}

/// Serde: what an edit may set, take away (null) or leave alone (absent).
pub mod edit {
    use super::{Deserialize, Deserializer};

    /// Reads a value that is present, also when it is null.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Option::<T>::deserialize(deserializer).map(Some)
    }
}

/// Serde: a duration as a number of seconds, with a fraction where it has one.
pub mod seconds {
    use super::{Deserialize, Deserializer, Duration, Serializer, duration};

    /// Writes seconds.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        if value.subsec_nanos() == 0 {
            serializer.serialize_u64(value.as_secs())
        } else {
            serializer.serialize_f64(value.as_secs_f64())
        }
    }

    /// Reads seconds.
    ///
    /// # Errors
    /// Those of the deserializer, and numbers that are negative or too large.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        duration::from_seconds(f64::deserialize(deserializer)?).map_err(super::custom)
    }
}

/// Serde: an optional duration as a number of seconds.
pub mod seconds_option {
    use super::{Deserialize, Deserializer, Duration, Serializer, duration};

    /// Writes seconds or null.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(v: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        match v {
            Some(duration) => super::seconds::serialize(duration, s),
            None => s.serialize_none(),
        }
    }

    /// Reads seconds or null.
    ///
    /// # Errors
    /// Those of the deserializer, and numbers that are negative or too large.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(d)?;
        seconds.map(duration::from_seconds).transpose().map_err(super::custom)
    }
}

fn custom<E: serde::de::Error>(error: duration::DurationError) -> E {
    E::custom(error)
}

#[cfg(test)]
mod tests;
