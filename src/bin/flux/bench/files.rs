//! The files of a run: opened before it, written after it.

use super::args::Args;
use super::plot;
use crate::failure::Failure;
use fluxnet::tools::bench::{Report, Saved};
use fluxnet::tools::output_file::OutputFile;
use std::path::Path;

/// Where a run is kept and drawn, if it is.
pub struct Files {
    save: Option<Saved>,
    plot: Option<OutputFile>,
}

impl Files {
    /// Refuses before minutes of measuring what could not be written after it.
    pub fn open(args: &Args) -> Result<Self, Failure> {
        // A name without a directory is one among the saved runs.
        let path = args.save.as_deref().filter(|name| name.contains('/')).map(Path::new);
        if path.is_some() && path == args.plot.as_deref() {
            return Err(Failure::Error {
                error: "--save and --plot name the same file".to_owned(),
                hint: Some("give each a file of its own".to_owned()),
            });
        }
        let save = args.save.as_deref().map(Saved::open).transpose()?;
        let plot = args.plot.as_deref().map(OutputFile::open).transpose()?;
        Ok(Self { save, plot })
    }

    /// Saves and draws, each also where the other fails; a line on each.
    pub fn keep(self, report: &Report) -> Result<Vec<String>, Failure> {
        let Self { save, plot } = self;
        if report.results.is_empty() {
            let asked = save.is_some() || plot.is_some();
            let nothing = "nothing was measured: nothing is saved or drawn".to_owned();
            return Ok(asked.then_some(nothing).into_iter().collect());
        }
        let saved = save.map(|file| file.write(report)).transpose();
        let drawn = plot.map(|file| draw(file, report)).transpose();
        let saved = saved?.map(|path| format!("saved as {}", path.display()));
        Ok(saved.into_iter().chain(drawn?).collect())
    }
}

fn draw(file: OutputFile, report: &Report) -> Result<String, Failure> {
    let chart = plot::svg(report).map_err(|error| Failure::Error {
        error: format!("cannot draw the chart: {error}"),
        hint: None,
    })?;
    let path = file.commit(chart.as_bytes())?;
    Ok(format!("drawn into {}", path.display()))
}
