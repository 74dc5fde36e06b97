//! A run folder, a server and a browser for the tests.

pub(crate) mod browser;
pub(crate) mod run_folder;
pub(crate) mod running_server;
