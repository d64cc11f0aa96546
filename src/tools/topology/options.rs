//! [`SimOptions`]: what `--sim` says.

use crate::error::{FluxError, Result};
use crate::simulator::{SimSpec, bad_spec, unknown_key};
use std::path::PathBuf;
use std::str::FromStr;

/// The key that names a topology file.
const FILE: &str = "file";

/// A simulated machine, and the network that it is in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SimOptions {
    /// Our link and our port.
    pub spec: SimSpec,
    /// The topology file of the network behind our port, instead of the default network.
    pub file: Option<PathBuf>,
}

impl From<SimSpec> for SimOptions {
    fn from(spec: SimSpec) -> Self {
        Self { spec, file: None }
    }
}

impl FromStr for SimOptions {
    type Err = FluxError;

    fn from_str(text: &str) -> Result<Self> {
        let (mut file, mut link, mut rest) = (None, None, Vec::new());
        for (part, key) in SimSpec::parts(text) {
            if key == FILE {
                let path = part.split_once('=').map(|(_, path)| path.trim());
                let rule = "must be the path of a topology file";
                let path = path.filter(|path| !path.is_empty());
                let path =
                    path.ok_or_else(|| bad_spec(part, rule).with_hint("write file=net.toml"))?;
                file = Some(PathBuf::from(path));
                continue;
            }
            if !SimSpec::knows(key) {
                return Err(unknown_key(part, key, &[FILE]));
            }
            link = link.or(SimSpec::is_about_link(key).then_some(part));
            rest.push(part);
        }
        let spec = rest.join(",").parse()?;
        if let (Some(file), Some(part)) = (&file, link) {
            let why = "the file says what our link is like: write it there, at its [[link]]";
            return Err(bad_spec(&format!("file={},{part}", file.display()), why));
        }
        Ok(Self { spec, file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topology_file_goes_with_our_machine_and_not_with_our_link() {
        let options: SimOptions = "file=a/net.toml,seed=3,queues=2,starved".parse().unwrap();
        assert_eq!(options.file.as_deref(), Some(std::path::Path::new("a/net.toml")));
        assert_eq!((options.spec.queues, options.spec.seed), (2, Some(3)));
        for part in [
            "loss=1%",
            "delay=1ms",
            "jitter=1ms",
            "dup=1%",
            "reorder=1%",
            "corrupt=1%",
            "rate=1gbit",
            "mtu=1400",
        ] {
            for text in [format!("file=net.toml,{part}"), format!("{part},file=net.toml")] {
                let error = text.parse::<SimOptions>().unwrap_err().to_string();
                assert!(error.starts_with(&format!("simulator file=net.toml,{part}: ")), "{error}");
                assert!(error.contains("[[link]]"), "{error}");
            }
        }
    }

    #[test]
    fn a_file_without_a_path_and_a_word_that_is_unknown_are_refused() {
        for text in ["file=", "file"] {
            let error = text.parse::<SimOptions>().unwrap_err();
            assert!(error.to_string().contains("path of a topology file"), "{error}");
            assert_eq!(error.hint(), Some("write file=net.toml"));
        }
        let error = "fiel=net.toml".parse::<SimOptions>().unwrap_err();
        assert_eq!(error.hint(), Some("did you mean file?"));
        let error = "colour=red".parse::<SimOptions>().unwrap_err();
        assert!(error.to_string().contains("'colour' is unknown"), "{error}");
    }
}
