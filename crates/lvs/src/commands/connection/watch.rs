//! `lvs connection watch`
use lvs_api::types::{ConnectionFilter, Watched};

use super::row;
use crate::{
    commands::Context,
    error::CliError,
    output::{
        Format, Paint,
        table::{Cell, Table},
    },
};

/// Widths of the columns, as long as nothing longer comes: nobody knows what will.
const WIDTHS: [usize; 8] = [6, 8, 21, 21, 21, 7, 11, 7];

/// Prints what happens to connections until the daemon ends, or somebody ends this.
pub(super) fn watch(context: &mut Context, filter: &ConnectionFilter) -> Result<(), CliError> {
    let titles =
        ["CHANGE", "PROTOCOL", "CLIENT", "VIRTUAL", "SERVER", "FORWARD", "STATE", ">EXPIRES"];
    let mut widths = WIDTHS;
    let text = context.out.format() == Format::Text;
    let told = context.client.watch(filter)?;
    if text {
        context.out.head(&Table::new(&titles), &widths)?;
        context.out.flush()?;
    }
    for told in told {
        let told = told?;
        if !text {
            context.out.json_value(&told)?;
            context.out.text(b"\n")?;
        } else if let Some(cells) = cells(&told) {
            let mut table = Table::new(&titles);
            table.row(cells);
            for (width, needed) in widths.iter_mut().zip(table.widths()) {
                *width = (*width).max(needed);
            }
            context.out.rows(&table, &widths)?;
        } else if let Watched::Missed { count } = told {
            context.out.warning(&format!("{count} changes were missed; all connections follow"))?;
        }
        context.out.flush()?;
    }
    Ok(())
}

fn cells(told: &Watched) -> Option<Vec<Cell>> {
    let (word, paint, connection) = match told {
        Watched::New(connection) => ("new", Paint::Good, connection),
        Watched::State(connection) => ("state", Paint::Plain, connection),
        Watched::End(connection) => ("end", Paint::Notable, connection),
        Watched::Is(connection) => ("is", Paint::Plain, connection),
        Watched::Missed { .. } => return None,
    };
    Some([Cell::painted(word, paint)].into_iter().chain(row(connection)).collect())
}
