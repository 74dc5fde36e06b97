//! `rekindle export`.

use std::process::ExitCode;

use anyhow::Result;
use rekindle::backend::choose;
use rekindle::export::{Form, export};
use rekindle::hub::{HubOptions, resolve};

use crate::args::{Export, ExportForm};
use crate::progress::{DownloadBar, note};

/// Writes an adapter, or a model with it, into a folder.
pub(crate) fn run(arguments: &Export) -> Result<ExitCode> {
    let Export {
        model,
        base,
        to,
        output,
        backend,
    } = arguments;
    let backend = choose(backend).map_err(rekindle::Error::from)?;
    let hub = HubOptions::from_env();
    let folder =
        resolve(model, &hub, &mut DownloadBar::default()).map_err(rekindle::Error::from)?;
    let form = match to {
        ExportForm::Merged => Form::Merged,
        ExportForm::Adapter => Form::Adapter,
    };
    export(&folder, base.as_deref(), (form, output), &backend)?;
    note(format_args!("written to {}", output.display()));
    Ok(ExitCode::SUCCESS)
}
