//! The command line, run as users run it: the built program, a tiny model, files in a folder.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod adapters;
mod answers;
mod bench;
mod bundled;
mod chats;
mod dates;
mod decoder;
mod doctor;
mod heads;
mod output_layers;
mod place;
mod records;
mod refusals;
mod refused_rows;
mod refused_settings;
mod resume;
mod runs;
mod scratch;
mod stops;
mod teaches;
mod texts;
mod trains;
mod vocabulary;
mod writer;
mod writes;
