//! Lists of tables in both forms of TOML: `[[service.server]]`, and `server = [{ … }]`.
use toml_edit::{Array, ArrayOfTables, Item, Table, TableLike, Value};

use crate::{settings::Key, write::tidy_inline};

/// The form of a table, and so of what can be put into it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// With a header; anything fits.
    Block,
    /// In braces; only what is inline fits.
    Inline,
}

/// Edits one table of a list; `None` when there is none.
pub(super) fn edit(
    parent: &mut dyn TableLike,
    key: &Key,
    index: usize,
    edit: impl FnOnce(&mut dyn TableLike, Form) -> Option<()>,
) -> Option<()> {
    match parent.get_mut(key.name)? {
        Item::ArrayOfTables(tables) => edit(tables.get_mut(index)?, Form::Block),
        Item::Value(Value::Array(array)) => {
            let table = array.get_mut(index)?.as_inline_table_mut()?;
            edit(table, Form::Inline)?;
            let decor = table.decor().clone();
            tidy_inline(table);
            *table.decor_mut() = decor;
            Some(())
        }
        Item::None | Item::Value(_) | Item::Table(_) => None,
    }
}

/// Adds a table at the end of a list, which is made where there is none.
pub(super) fn push(parent: &mut dyn TableLike, form: Form, key: &Key, table: Table) -> Option<()> {
    if !parent.contains_key(key.name) {
        let item = match form {
            Form::Block => Item::ArrayOfTables(ArrayOfTables::new()),
            Form::Inline => Item::Value(Array::new().into()),
        };
        parent.insert(key.name, item);
    }
    match parent.get_mut(key.name)? {
        Item::ArrayOfTables(tables) => tables.push(table),
        Item::Value(Value::Array(array)) => push_inline(array, table),
        Item::None | Item::Value(_) | Item::Table(_) => return None,
    }
    Some(())
}

/// Removes a table from a list; `None` when there is none.
pub(super) fn remove(parent: &mut dyn TableLike, key: &Key, index: usize) -> Option<()> {
    match parent.get_mut(key.name)? {
        Item::ArrayOfTables(tables) if index < tables.len() => drop(tables.remove(index)),
        Item::Value(Value::Array(array)) if index < array.len() => remove_inline(array, index),
        Item::ArrayOfTables(_) | Item::None | Item::Value(_) | Item::Table(_) => return None,
    }
    Some(())
}

// In an array with a line for each element, what follows an element's comma on its line (a comment)
// counts for TOML as the beginning of the next element, and after the last one as the array's end.

fn push_inline(array: &mut Array, table: Table) {
    let mut value = Value::InlineTable(inline(table));
    let end = array.trailing().as_str().unwrap_or_default().to_owned();
    let last = array.iter().last().map(prefix);
    match last.as_deref().and_then(|prefix| prefix.rsplit_once('\n')) {
        Some((_, indent)) if array.trailing_comma() => {
            let (comment, rest) = end.split_once('\n').unwrap_or((&end, ""));
            value.decor_mut().set_prefix(format!("{comment}\n{indent}"));
            array.set_trailing(format!("\n{rest}"));
        }
        Some((_, indent)) => {
            // The comma goes behind the last element, and what stood there behind the new one.
            value.decor_mut().set_prefix(format!("\n{indent}"));
        }
        None => {
            value.decor_mut().set_prefix(if last.is_some() { " " } else { "" });
        }
    }
    array.push_formatted(value);
}

fn remove_inline(array: &mut Array, index: usize) {
    let gone = array.remove(index);
    let gone = prefix(&gone);
    // What stands before the first line end belongs to the element before; the same of the next
    // element belonged to the one that is gone.
    let own_line = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
    let before = gone.split_once('\n').map_or("", |(before, _)| before).to_owned();
    if let Some(next) = array.get_mut(index) {
        let text = prefix(next);
        match own_line(&text) {
            Some(rest) => next.decor_mut().set_prefix(format!("{before}\n{rest}")),
            None if index == 0 => next.decor_mut().set_prefix(gone),
            None => {}
        }
    } else if let Some(rest) = own_line(array.trailing().as_str().unwrap_or_default()) {
        array.set_trailing(format!("{before}\n{rest}"));
    }
}

fn prefix(value: &Value) -> String {
    value.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned()
}

/// A table in one line, with the lists within it.
fn inline(table: Table) -> toml_edit::InlineTable {
    let mut table = table.into_inline_table();
    table.fmt();
    table
}
