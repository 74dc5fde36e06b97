//! The `rekindle` command: arguments in, text out. What it does is in the library.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "this is the program that talks"
)]

mod allocator;
mod args;
mod bench;
mod chat;
mod doctor;
mod eval;
mod export;
mod failure;
mod generate;
mod live;
mod places;
mod predict;
mod progress;
mod restart;
mod runs;
mod stream;
mod summary;
mod tokenizer;
mod train;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};

fn main() -> ExitCode {
    allocator::keep_pages();
    join_pool();
    // For who wants to know whether a difference comes from a kernel.
    rekindle::set_kernels(std::env::var_os("REKINDLE_KERNELS").is_none_or(|value| value != "off"));
    let result = match Arguments::parse().command {
        Command::Train(arguments) => train::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Chat(arguments) => chat::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Tokenizer(arguments) => tokenizer::run(&arguments),
        Command::Runs(arguments) => runs::run(&arguments),
        Command::Dashboard(arguments) => runs::serve(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    };
    result.unwrap_or_else(|error| failure::report(&error))
}

/// Makes this thread one of those that share the work of an operation.
///
/// Operations of a training step are so short that handing each to other threads, and waiting for them, takes
/// a good part of their time. While this thread waits for another, that one may have no work to share: where
/// there is a single thread, nobody would be left to do it.
fn join_pool() {
    let pool = rayon::ThreadPoolBuilder::new().use_current_thread();
    // Where threads cannot be started, the first operation says so.
    drop(pool.build_global());
}
