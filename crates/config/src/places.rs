//! Where in the file each setting of the desired state stands.
use lvs_model::validate::{Field, Rule, Violation};

use crate::{
    error::{ConfigError, Problem},
    source::Span,
};

/// The places of one service, in the order of the desired state.
pub(crate) struct ServicePlace {
    pub(crate) own: SettingPlaces,
    pub(crate) servers: Vec<SettingPlaces>,
}

/// The places of the settings of a service or a server.
pub(crate) struct SettingPlaces {
    /// Its header.
    pub(crate) header: Span,
    pub(crate) fields: Vec<(Field, Span)>,
    /// Some setting could not be read and has a stand-in, so that rules between settings may fail
    /// for no fault of the file.
    pub(crate) broken: bool,
}

impl SettingPlaces {
    pub(crate) fn new(header: Span) -> Self {
        Self { header, fields: Vec::new(), broken: false }
    }

    /// Keeps the place of a value that was read.
    pub(crate) fn keep<T>(&mut self, field: Field, found: Option<(T, Span)>) -> Option<T> {
        found.map(|(value, span)| {
            self.fields.push((field, span));
            value
        })
    }

    fn of(&self, field: Field) -> Span {
        let found = self.fields.iter().find(|(known, _)| *known == field);
        found.map_or_else(|| self.header.clone(), |(_, span)| span.clone())
    }
}

/// The error of a broken rule; `None` when the file is not at fault.
pub(crate) fn locate(violation: Violation, places: &[ServicePlace]) -> Option<ConfigError> {
    let service = places.get(violation.service)?;
    let place = match violation.server {
        None => &service.own,
        Some(server) => service.servers.get(server)?,
    };
    let related = if let Rule::NameTaken { by, .. } = violation.rule {
        Some((places.get(by)?.own.of(Field::Name), "the first one of this name"))
    } else if let Rule::KeyTaken { by, .. } = violation.rule {
        Some((places.get(by)?.own.of(Field::Address), "the first one of this address"))
    } else if let Rule::ServerTaken { by, .. } = violation.rule {
        Some((service.servers.get(by)?.of(Field::Address), "the first one of this address"))
    } else if (place.broken || service.own.broken) && violation.field != Field::Name {
        return None;
    } else {
        None
    };
    let span = Some(place.of(violation.field));
    Some(ConfigError { problem: Problem::Rule(violation.rule), span, related })
}
