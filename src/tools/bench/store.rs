//! Reports kept by name, to compare with later ones.

use super::earlier;
use super::report::Report;
use crate::error::{ErrorKind, FluxError, Result, errno_text};
use crate::tools::json_line::JsonLine;
use crate::tools::output_file::OutputFile;
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf, is_separator};

/// Where the report called `name` is kept: `name` itself when it has a path separator in it or
/// ends in `.json`, else `$XDG_DATA_HOME/flux/bench/NAME.json`, by default under `~/.local/share`.
///
/// # Errors
/// `ErrorKind::Config` for a name that cannot be one.
pub fn file_of(name: &str) -> Result<PathBuf> {
    locate(name, &|variable| std::env::var_os(variable).map(PathBuf::from))
}

/// A place for a report, opened before it is there.
#[derive(Debug)]
pub struct Saved(OutputFile);

impl Saved {
    /// A place for the report called `name`. What was there stays until [`Saved::write`]. The
    /// directory of reports with a name is made where it is missing, that of a file is not.
    ///
    /// # Errors
    /// When the name cannot be one, or the file cannot be written.
    pub fn open(name: &str) -> Result<Self> {
        let path = file_of(name)?;
        if !is_file(name)
            && let Some(dir) = path.parent()
        {
            fs::create_dir_all(dir).map_err(|error| no_directory(name, dir, error))?;
        }
        OutputFile::open(&path).map(Self)
    }

    /// Keeps `report` there; returns the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(self, report: &Report) -> Result<PathBuf> {
        let mut json = JsonLine::new("bench");
        let line = json.of(report).map_err(|error| {
            FluxError::new(ErrorKind::System, "cannot write a report", error.to_string())
        })?;
        self.0.commit(line)
    }
}

/// The report that was kept under `name`.
///
/// # Errors
/// When there is none, or the file is no report that this version can read.
pub fn load(name: &str) -> Result<Report> {
    let path = file_of(name)?;
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(name, &path)),
        Err(error) => return Err(unreadable(&path, error)),
    };
    read(&bytes).map_err(|why| {
        FluxError::config(format!("cannot read {}", path.display()), why)
            .with_hint("`flux bench --save NAME` and `flux bench --json > FILE.json` write reports")
    })
}

impl Report {
    /// The report that `json` holds, as `flux bench --json` prints it.
    ///
    /// # Errors
    /// `ErrorKind::Config` when it is no report that this version can read.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        read(json).map_err(|why| FluxError::config("cannot read a report", why))
    }
}

/// Whether `name` is that of a file, and not one in the data directory.
fn is_file(name: &str) -> bool {
    let json = Path::new(name).extension().is_some_and(|extension| extension == "json");
    json || name.contains(is_separator)
}

fn no_directory(name: &str, dir: &Path, error: io::Error) -> FluxError {
    let what = format!("cannot make {}", dir.display());
    FluxError::new(ErrorKind::System, what, errno_text(&error))
        .with_hint(format!(
            "set another path: --save ./{name}.json, or XDG_DATA_HOME to a directory that you may \
             write to"
        ))
        .with_source(error)
}

fn locate(name: &str, env: &dyn Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    if is_file(name) {
        return Ok(PathBuf::from(name));
    }
    if name.trim().is_empty() || name.starts_with('.') {
        let why = "must be a word such as before, or a file such as ./before.json";
        return Err(FluxError::config(format!("run name '{name}'"), why)
            .with_hint("give a word that begins with a letter or a digit"));
    }
    let set = |variable: &str| env(variable).filter(|path| path.is_absolute());
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    match data {
        Some(data) => Ok(data.join("flux").join("bench").join(format!("{name}.json"))),
        None => Err(FluxError::config(
            format!("run name '{name}'"),
            "neither XDG_DATA_HOME nor HOME is set, so there is no place to keep runs",
        )
        .with_hint(format!("name a file instead: ./{name}.json"))),
    }
}

/// The report in `bytes`, or why there is none. Notes may stand around it.
fn read(bytes: &[u8]) -> Result<Report, String> {
    let mut report = None;
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<Value>() {
        let value = value.map_err(|error| format!("it is no JSON: {error}"))?;
        if value.get("event").and_then(Value::as_str) == Some("report") {
            report = Some(value);
        }
    }
    let mut value = report.ok_or("it is JSON, but no report of flux bench")?;
    let version = value.get("version").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    earlier::renew(&mut value);
    serde_json::from_value(value).map_err(|error| {
        let own = env!("CARGO_PKG_VERSION");
        format!("flux {version} wrote it in a format that flux {own} does not read: {error}")
    })
}

fn unreadable(path: &Path, error: io::Error) -> FluxError {
    let what = format!("cannot read {}", path.display());
    FluxError::new(ErrorKind::System, what, errno_text(&error)).with_source(error)
}

fn missing(name: &str, path: &Path) -> FluxError {
    let error = FluxError::config(
        format!("no saved run '{name}'"),
        format!("there is no {}", path.display()),
    );
    let names = saved(path);
    error.with_hint(if names.is_empty() {
        "`flux bench --save NAME` keeps a run under a name".to_owned()
    } else {
        format!("saved are: {}", names.join(", "))
    })
}

/// Names of the runs beside `path`, in order.
fn saved(path: &Path) -> Vec<String> {
    let entries = path.parent().and_then(|dir| fs::read_dir(dir).ok());
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            Some(entry.ok()?.file_name().to_str()?.strip_suffix(".json")?.to_owned())
        })
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, Note};
    use super::super::fixture::{report, setting};
    use super::super::plan::{Poll, Workload};
    use super::*;
    use crate::tools::session::Trouble;

    /// A directory that is gone with its owner.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir =
                std::env::temp_dir().join(format!("flux-store-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn file(&self, name: &str) -> String {
            self.0.join(name).to_str().unwrap().to_owned()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn some_report() -> Report {
        report(vec![
            setting(Workload::Rxdrop, Poll::Busy, 64, &[5.25, 5.0, 5.5]),
            setting(Workload::Latency, Poll::Syscall, 16, &[10.5, 11.0, 10.0]),
        ])
    }

    fn save(name: &str, report: &Report) -> Result<PathBuf> {
        Saved::open(name)?.write(report)
    }

    #[test]
    fn what_is_saved_is_loaded_and_nothing_else_is_left() {
        let dir = Dir::new("round");
        let file = dir.file("deeper/run.json");
        let error = save(&file, &some_report()).unwrap_err();
        assert!(error.hint().unwrap().contains("mkdir -p"), "it is not made: {error}");
        fs::create_dir(dir.0.join("deeper")).unwrap();
        let path = save(&file, &some_report()).unwrap();
        assert_eq!(path, PathBuf::from(&file));
        assert_eq!(load(&file).unwrap(), some_report());
        let other = Report { complete: false, ..some_report() };
        save(&file, &other).unwrap();
        assert_eq!(load(&file).unwrap(), other);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_is_a_file_or_lies_in_the_data_directory() {
        let xdg = |name: &str| (name == "XDG_DATA_HOME").then(|| PathBuf::from("/data"));
        let home = |name: &str| match name {
            "HOME" => Some(PathBuf::from("/home/me")),
            "XDG_DATA_HOME" => Some(PathBuf::from("relative")),
            _ => None,
        };
        let at = |name, env: &dyn Fn(&str) -> Option<PathBuf>| locate(name, env).unwrap();
        assert_eq!(at("before", &xdg), Path::new("/data/flux/bench/before.json"));
        assert_eq!(at("v1.2", &xdg), Path::new("/data/flux/bench/v1.2.json"));
        assert_eq!(at("before", &home), Path::new("/home/me/.local/share/flux/bench/before.json"));
        for file in ["before.json", "./before", "a/b.json", "/tmp/x"] {
            assert_eq!(at(file, &xdg), Path::new(file));
        }
        for bad in ["", " ", ".", "..", ".hidden"] {
            assert!(locate(bad, &xdg).unwrap_err().to_string().contains("must be a word"), "{bad}");
        }
        let nowhere = locate("before", &|_| None).unwrap_err();
        assert!(nowhere.hint().unwrap().contains("./before.json"), "{nowhere}");
    }

    #[test]
    fn a_run_that_is_not_there_lists_those_that_are() {
        let dir = Dir::new("missing");
        let error = load(&dir.file("a.json")).unwrap_err();
        assert!(error.hint().unwrap().contains("--save NAME"), "{error}");
        save(&dir.file("b.json"), &some_report()).unwrap();
        save(&dir.file("a2.json"), &some_report()).unwrap();
        let error = load(&dir.file("a.json")).unwrap_err();
        assert!(error.to_string().starts_with("no saved run '"), "{error}");
        assert_eq!(error.hint(), Some("saved are: a2, b"));
    }

    #[test]
    fn what_is_no_report_says_why() {
        let error = |text: &str| read(text.as_bytes()).unwrap_err();
        assert!(error("{").starts_with("it is no JSON: "));
        assert!(error("[1]").contains("no report of flux bench"));
        assert!(error(r#"{"event":"summary"}"#).contains("no report of flux bench"));
        let newer = error(r#"{"event":"report","version":"9.0.0"}"#);
        assert!(newer.starts_with("flux 9.0.0 wrote it in a format"), "{newer}");
        assert!(newer.contains("missing field"), "{newer}");
        let error = Report::from_json(b"{\xff").unwrap_err();
        assert!(error.to_string().starts_with("cannot read a report: it is no JSON: "), "{error}");
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let report = some_report();
        let mut json = JsonLine::new("bench");
        let line = json.of(&report).unwrap().to_vec();
        assert_eq!(Report::from_json(&line).unwrap(), report);
        let note = json.of(&Event::Note(Note::new(Trouble::Idle, "nothing came"))).unwrap();
        let stream = [note, &line, note].concat();
        assert_eq!(Report::from_json(&stream).unwrap(), report, "notes may stand around it");
    }

    #[cfg(unix)]
    #[test]
    fn a_place_that_takes_no_file_is_named() {
        let error = save("/dev/null/run.json", &some_report()).unwrap_err();
        assert!(error.to_string().starts_with("cannot write /dev/null/run.json: "), "{error}");
    }
}
