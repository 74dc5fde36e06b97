//! A data file read as a whole, before its rows become examples.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use crate::task::{infer_task, require_target};
use crate::{
    DataError, Dataset, Format, FormatGuess, Inference, Record, Records, RowError, TaskKind,
};

/// All rows of a file, those that can be read and those that cannot.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Its format and how that was found.
    pub format: FormatGuess,
    /// The rows that can be read.
    pub records: Vec<Record>,
    /// The rows that cannot be read.
    pub errors: Vec<RowError>,
}

impl Source {
    /// Reads a file; its format is inferred.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        Self::collect(path.to_owned(), Records::open(path, None)?)
    }

    /// Reads a text that is part of the program.
    pub fn from_text(name: &str, text: &'static str, format: Format) -> Result<Self, DataError> {
        Self::collect(name.into(), Records::from_reader(Cursor::new(text), format))
    }

    fn collect(path: PathBuf, rows: Records) -> Result<Self, DataError> {
        let format = rows.guess().clone();
        let (mut records, mut errors) = (Vec::new(), Vec::new());
        for row in rows {
            match row {
                Ok(record) => records.push(record),
                Err(error) => errors.push(error),
            }
        }
        if records.is_empty() && errors.is_empty() {
            return Err(DataError::Empty { path });
        }
        Ok(Self {
            path,
            format,
            records,
            errors,
        })
    }

    /// The task: the one given, else the one that the rows tell.
    pub fn task(&self, given: Option<TaskKind>) -> Result<Inference, DataError> {
        let Some(task) = given else {
            return infer_task(self);
        };
        require_target(self, task)?;
        Ok(Inference {
            task,
            reason: "given".to_owned(),
        })
    }

    /// Turns every record into an example; any row that fails, here or in reading, fails the file.
    pub fn examples<E>(
        self,
        inference: Inference,
        example: impl Fn(&Record) -> Result<E, RowError>,
    ) -> Result<Dataset<E>, DataError> {
        let total = self.records.len() + self.errors.len();
        let mut errors = self.errors;
        let mut rows = Vec::with_capacity(self.records.len());
        for record in &self.records {
            match example(record) {
                Ok(row) => rows.push(row),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(DataError::bad_rows(self.path, errors, total));
        }
        Ok(Dataset {
            path: self.path,
            format: self.format.format,
            format_reason: self.format.reason,
            inference,
            rows,
        })
    }
}
