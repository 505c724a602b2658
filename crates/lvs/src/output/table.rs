//! Aligned columns.
use std::io::{self, Write};

use super::{Paint, painted};

/// On which side a column is ragged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// A table with a head line.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

/// One field.
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

impl<T: ToString> From<T> for Cell {
    fn from(value: T) -> Self {
        Self { text: value.to_string(), paint: Paint::Plain }
    }
}

impl Cell {
    pub(crate) fn painted(text: impl Into<String>, paint: Paint) -> Self {
        Self { text: text.into(), paint }
    }
}

impl Table {
    /// A table with these columns; a title that starts with `>` belongs to a column of numbers,
    /// which is aligned to the right.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let columns = titles.iter().map(|title| match title.strip_prefix('>') {
            Some(title) => (title, Align::Right),
            None => (*title, Align::Left),
        });
        Self { columns: columns.collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The width of each column.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(title, _)| title.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        widths
    }

    pub(super) fn write(&self, out: &mut impl Write, colour: bool) -> io::Result<()> {
        let widths = self.widths();
        self.write_head(out, &widths, colour)?;
        self.write_rows(out, &widths, colour)
    }

    pub(super) fn write_head(
        &self,
        out: &mut impl Write,
        widths: &[usize],
        colour: bool,
    ) -> io::Result<()> {
        let titles: Vec<Cell> =
            self.columns.iter().map(|(title, _)| Cell::painted(*title, Paint::Bold)).collect();
        self.write_row(out, &titles, widths, colour)
    }

    pub(super) fn write_rows(
        &self,
        out: &mut impl Write,
        widths: &[usize],
        colour: bool,
    ) -> io::Result<()> {
        self.rows.iter().try_for_each(|row| self.write_row(out, row, widths, colour))
    }

    fn write_row(
        &self,
        out: &mut impl Write,
        row: &[Cell],
        widths: &[usize],
        colour: bool,
    ) -> io::Result<()> {
        let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
        let columns = self.columns.iter().zip(widths).zip(row).take(last + 1);
        for (index, (((_, align), width), cell)) in columns.enumerate() {
            let pad = " ".repeat(width.saturating_sub(cell.text.chars().count()));
            let text = painted(&cell.text, cell.paint, colour);
            let gap = if index == 0 { "" } else { "  " };
            match align {
                Align::Right => write!(out, "{gap}{pad}{text}")?,
                Align::Left if index == last => write!(out, "{gap}{text}")?,
                Align::Left => write!(out, "{gap}{text}{pad}")?,
            }
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_no_line_ends_in_blanks() {
        let mut table = Table::new(&["NAME", ">N", "NOTE"]);
        table.row(["a".into(), 1.into(), "".into()]);
        table.row(["longer".into(), 1234.into(), Cell::painted("x", Paint::Bad)]);
        let mut plain = Vec::new();
        table.write(&mut plain, false).unwrap();
        assert_eq!(
            String::from_utf8(plain).unwrap(),
            "NAME       N  NOTE\na          1\nlonger  1234  x\n"
        );
    }

    #[test]
    fn colours_do_not_change_widths() {
        let mut table = Table::new(&["A", "B"]);
        table.row([Cell::painted("up", Paint::Good), "x".into()]);
        table.row(["down".into(), "y".into()]);
        let mut out = Vec::new();
        table.write(&mut out, true).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\x1b[32mup\x1b[0m    x\n"), "{text:?}");
    }
}
