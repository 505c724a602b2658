//! The text of a file and where in it something is.
use std::{ops::Range, path::PathBuf, sync::Arc};

/// A place in the text, in bytes.
pub(crate) type Span = Range<usize>;

/// A text and the file that it came from; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: Arc<PathBuf>,
    pub(crate) text: Arc<str>,
}

/// The lines around a place, with what is needed to show them.
pub(crate) struct Window<'a> {
    pub(crate) text: &'a str,
    /// Number of the first line, from 1.
    pub(crate) line: usize,
    /// The place within `text`.
    pub(crate) span: Span,
}

impl Source {
    pub(crate) fn new(path: PathBuf, text: &str) -> Self {
        Self { path: Arc::new(path), text: text.into() }
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    pub(crate) fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..self.boundary(at)).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count());
        (before.matches('\n').count() + 1, column + 1)
    }

    /// The lines of a place only, so that showing an error of a large file does not read all of it.
    /// A place of several lines is cut to its first.
    pub(crate) fn window(&self, span: &Span) -> Window<'_> {
        let start = self.boundary(span.start);
        let (before, after) = self.text.split_at_checked(start).unwrap_or((&self.text, ""));
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = after.find('\n').map_or(self.text.len(), |newline| start + newline);
        let text = self.text.get(line_start..line_end).unwrap_or_default();
        let text = text.strip_suffix('\r').unwrap_or(text);
        let begin = (start - line_start).min(text.len());
        let end = self.boundary(span.end).saturating_sub(line_start).clamp(begin, text.len());
        let line = before.matches('\n').count() + 1;
        Window { text, line, span: begin..end }
    }

    /// The nearest start of a character at or before a byte.
    fn boundary(&self, at: usize) -> usize {
        self.text.floor_char_boundary(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_line_of_a_place() {
        let source = Source::new("f".into(), "one\r\ntwo é three\nfour");
        let window = source.window(&(12..17));
        assert_eq!((window.text, window.line, window.span), ("two é three", 2, 7..12));
        assert_eq!(source.line_and_column(12), (2, 7));
        // In the middle of a character, over the end of the line, and behind the text.
        assert_eq!(source.window(&(10..16)).span, 4..11);
        assert_eq!(source.window(&(15..900)).text, "two é three");
        assert_eq!(source.window(&(900..901)).text, "four");
        assert_eq!(Source::new("f".into(), "").line_and_column(3), (1, 1));
    }
}
