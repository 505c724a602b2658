//! Writing changes into the text of a file; its comments, order and formatting stay.
use std::path::Path;

use lvs_model::{
    change::{Change, ChangeError},
    desired::{Desired, Service},
};
use toml_edit::{DocumentMut, TableLike, TomlError};

use crate::{
    config::parse,
    error::Errors,
    settings::{SERVER, SERVICE},
    write::{server_table, service_table, write_server, write_service},
};

mod list;

use list::Form;

/// Why changes were not written.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    /// The text has errors of its own.
    #[error("the file has errors\n{0}")]
    File(Errors),
    /// A change does not fit what the file says.
    #[error("the file does not take the change: {0}")]
    Change(#[from] ChangeError),
    /// The text is not what was parsed before.
    #[error("the file cannot be edited")]
    Toml(#[from] TomlError),
    /// The text is written in a way that this cannot edit.
    #[error("the file is written in a way that cannot be edited here; edit it by hand")]
    Form,
}

/// Makes the changes in a text. What [`parse`] reads from the result is what it reads from `text`
/// with the changes applied; else there is an error and no result.
///
/// # Errors
/// When the text has errors or a change does not fit it.
pub fn persist(path: &Path, text: &str, changes: &[Change]) -> Result<String, PersistError> {
    let mut desired = parse(path, text).map_err(PersistError::File)?.desired;
    let mut document: DocumentMut = text.parse()?;
    for change in changes {
        let before = touched(&desired, change).cloned();
        let index = desired.services.iter().position(|s| Some(&s.name) == name(change));
        desired.apply(change)?;
        edit(&mut document, index, before.as_ref(), &desired, change).ok_or(PersistError::Form)?;
    }
    let text = document.to_string();
    // The text is what counts after a restart: it is not handed out on trust.
    match parse(path, &text) {
        Ok(config) if config.desired == desired => Ok(text),
        Ok(_) | Err(_) => Err(PersistError::Form),
    }
}

/// The name of the service that a change edits; `None` for a new one.
fn name(change: &Change) -> Option<&String> {
    match change {
        Change::AddService { .. } => None,
        Change::EditService { service, .. }
        | Change::RemoveService { service }
        | Change::AddServer { service, .. }
        | Change::EditServer { service, .. }
        | Change::RemoveServer { service, .. }
        | Change::Drain { service, .. }
        | Change::Resume { service, .. } => Some(service),
    }
}

fn touched<'a>(desired: &'a Desired, change: &Change) -> Option<&'a Service> {
    name(change).and_then(|name| desired.service(name))
}

/// Makes one change; `None` when the document does not have the place.
///
/// Services and servers stand in the document in the order of the state.
fn edit(
    document: &mut DocumentMut,
    index: Option<usize>,
    before: Option<&Service>,
    desired: &Desired,
    change: &Change,
) -> Option<()> {
    let root: &mut dyn TableLike = document.as_table_mut();
    if let Change::AddService { service } = change {
        return list::push(root, Form::Block, &SERVICE, service_table(service));
    }
    let (index, before) = (index?, before?);
    if let Change::RemoveService { .. } = change {
        return list::remove(root, &SERVICE, index);
    }
    let after = desired.services.get(index)?;
    list::edit(root, &SERVICE, index, |table, form| match change {
        Change::EditService { .. } => {
            write_service(table, before, after);
            Some(())
        }
        Change::AddServer { server, .. } => list::push(table, form, &SERVER, server_table(server)),
        Change::RemoveServer { address, .. } => {
            let gone = before.servers.iter().position(|server| server.address == *address)?;
            list::remove(table, &SERVER, gone)
        }
        Change::EditServer { address, .. }
        | Change::Drain { address, .. }
        | Change::Resume { address, .. } => {
            let number = after.servers.iter().position(|server| server.address == *address)?;
            let (before, after) = (before.servers.get(number)?, after.servers.get(number)?);
            list::edit(table, &SERVER, number, |table, _| {
                write_server(table, before, after);
                Some(())
            })
        }
        Change::AddService { .. } | Change::RemoveService { .. } => None,
    })
}
