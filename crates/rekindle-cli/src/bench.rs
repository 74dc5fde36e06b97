//! `rekindle bench`.

use std::io::{self, Write};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use rekindle::backend::{Choice, choose};
use rekindle::bench::{Shape, Work, is_supported, measure};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::args::Bench;
use crate::restart::program;

/// Times steps of all that is asked for, each in a process of its own, so that memory is its own too.
pub(crate) fn run(arguments: &Bench) -> Result<ExitCode> {
    let choice = choose(&arguments.backend).map_err(rekindle::Error::from)?;
    if let [shape, method, dtype] = arguments.here.as_slice() {
        let timing = measure(&work(arguments, [shape, method, dtype])?, &choice)?;
        println!("{}", serde_json::to_string(&timing)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout().lock();
    if !arguments.json {
        head(&choice, &mut out)?;
    }
    for shape in &arguments.shape {
        for method in &arguments.method {
            for dtype in &arguments.dtype {
                let asked = [shape, method, dtype].map(String::as_str);
                if is_supported(read(dtype)?, &choice) {
                    let timing = measured(arguments, asked)?;
                    tell(arguments, (asked, &choice), &timing, &mut out)?;
                } else {
                    skip(arguments, asked, &mut out)?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn work(arguments: &Bench, [shape, method, dtype]: [&str; 3]) -> Result<Work> {
    let shape: Shape = read(shape)?;
    let [rows, tokens] = shape.batch();
    Ok(Work {
        shape,
        method: read(method)?,
        dtype: read(dtype)?,
        rows: arguments.rows.unwrap_or(rows),
        tokens: arguments.tokens.unwrap_or(tokens),
        steps: arguments.steps,
    })
}

/// What a name stands for, as in a recipe.
fn read<T: DeserializeOwned>(name: &str) -> Result<T> {
    Ok(serde_json::from_value(Value::from(name))?)
}

/// What another process of this program measures.
fn measured(arguments: &Bench, asked: [&str; 3]) -> Result<Value> {
    let mut command = Command::new(program()?);
    command.args(["bench", "--backend", &arguments.backend]);
    command.args(["--steps", &arguments.steps.to_string()]);
    for (flag, value) in [("--rows", arguments.rows), ("--tokens", arguments.tokens)] {
        if let Some(value) = value {
            command.args([flag, &value.to_string()]);
        }
    }
    command.arg("--here").args(asked);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.context("cannot start this program again")?;
    let [shape, method, dtype] = asked;
    ensure!(
        output.status.success(),
        "timing `{shape}`, `{method}`, `{dtype}` ended with {}",
        output.status
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn head(choice: &Choice, out: &mut impl Write) -> Result<()> {
    let (backend, device) = (choice.found.backend, &choice.found.device);
    writeln!(
        out,
        "training steps on {backend} ({device}): {}",
        choice.reason
    )?;
    let columns = ["s/step", "tokens/s", "GFLOP/s", "peak MiB", "first step s"];
    write!(out, "{:<22}", "model, method, type")?;
    for column in columns {
        write!(out, " {column:>12}")?;
    }
    writeln!(out)?;
    Ok(out.flush()?)
}

fn tell(
    arguments: &Bench,
    (asked, choice): ([&str; 3], &Choice),
    timing: &Value,
    out: &mut impl Write,
) -> Result<()> {
    let [shape, method, dtype] = asked;
    if arguments.json {
        let mut row = json!({
            "shape": shape,
            "method": method,
            "dtype": dtype,
            "backend": choice.found.backend,
            "device": choice.found.device,
        });
        if let (Value::Object(row), Value::Object(timing)) = (&mut row, timing) {
            row.extend(timing.clone());
        }
        writeln!(out, "{row}")?;
        return Ok(out.flush()?);
    }
    let number = |key: &str| timing[key].as_f64();
    let columns = [
        (number("seconds"), 1.0, 4),
        (number("tokens_per_second"), 1.0, 0),
        (number("flops_per_second"), 1e9, 1),
        (number("peak_memory"), f64::from(1 << 20), 0),
        (number("first_seconds"), 1.0, 2),
    ];
    write!(out, "{:<22}", format!("{shape}, {method}, {dtype}"))?;
    for (value, unit, decimals) in columns {
        match value {
            Some(value) => write!(out, " {:>12.decimals$}", value / unit)?,
            None => write!(out, " {:>12}", "-")?,
        }
    }
    writeln!(out)?;
    Ok(out.flush()?)
}

fn skip(arguments: &Bench, [shape, method, dtype]: [&str; 3], out: &mut impl Write) -> Result<()> {
    let reason = format!("this device does not compute in {dtype}");
    if arguments.json {
        let row = json!({"shape": shape, "method": method, "dtype": dtype, "skipped": reason});
        writeln!(out, "{row}")?;
    } else {
        writeln!(
            out,
            "{:<22} {reason}",
            format!("{shape}, {method}, {dtype}")
        )?;
    }
    Ok(())
}
