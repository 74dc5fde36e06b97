//! `rekindle export`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use rekindle::backend::choose;
use rekindle::export::{Form, export};
use rekindle::hub::StoredType;

use crate::args::{Export, ExportForm, WeightType};
use crate::places::resolve;
use crate::progress::note;

/// Writes an adapter, or a model with it, into a folder.
pub(crate) fn run(arguments: &Export) -> Result<ExitCode> {
    let Export {
        model,
        base,
        to,
        dtype,
        output,
        backend,
    } = arguments;
    if let (ExportForm::Adapter, Some(_)) = (to, dtype) {
        bail!("`--dtype` goes with `--to merged`: an adapter is copied as it is");
    }
    let backend = choose(backend).map_err(rekindle::Error::from)?;
    let folder = resolve(model)?;
    let form = match to {
        ExportForm::Merged => Form::Merged(dtype.map(stored)),
        ExportForm::Adapter => Form::Adapter,
    };
    export(&folder, base.as_deref(), (form, output), &backend)?;
    note(format_args!("written to {}", output.display()));
    Ok(ExitCode::SUCCESS)
}

fn stored(dtype: WeightType) -> StoredType {
    match dtype {
        WeightType::F32 => StoredType::F32,
        WeightType::F16 => StoredType::F16,
        WeightType::Bf16 => StoredType::Bf16,
    }
}
