//! Writes the state file.
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{Event, Whole};

/// As much may always be appended before the file is written whole again.
const LEAST: u64 = 64 << 10;

/// The state file, as its only writer has it.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    /// Bytes that may be appended before the file is written whole again: as many as it had then.
    room: u64,
}

impl Store {
    /// A file that is written whole first.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, room: 0 }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the state whole. A reader finds the old or the new one, never a part.
    pub(crate) fn write(&mut self, state: &Whole) -> io::Result<()> {
        self.room = 0;
        let fresh = self.path.with_extension("json.new");
        let mut file = BufWriter::new(File::create(&fresh)?);
        serde_json::to_writer(&mut file, state)?;
        writeln!(file)?;
        let size = file.into_inner()?.metadata()?.len();
        fs::rename(&fresh, &self.path)?;
        self.room = size.max(LEAST);
        Ok(())
    }

    /// Appends what happened. False: nothing was appended, the state is to be written whole.
    pub(crate) fn append(&mut self, events: &[Event]) -> io::Result<bool> {
        let mut lines = Vec::new();
        for event in events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        let Some(left) = self.room.checked_sub(lines.len() as u64) else { return Ok(false) };
        // After half a line nothing more would be read.
        self.room = 0;
        File::options().append(true).open(&self.path)?.write_all(&lines)?;
        self.room = left;
        Ok(true)
    }
}
