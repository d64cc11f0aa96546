//! `flux man DIR`.

use crate::answer::Answer;
use crate::failure::Failure;
use crate::help;
use crate::output::Stdout;
use clap_mangen::roff::{Roff, roman};
use std::io;
use std::path::{Path, PathBuf};

/// Source line of every page.
const VERSION: &str = concat!("flux ", env!("CARGO_PKG_VERSION"));

/// The pages that are of no command: name, what it is about, text.
const TOPICS: [(&str, &str, &str); 2] = [
    ("flux-sim", "the simulated network of --sim", help::SIM),
    ("flux-topology", "files of simulated networks", help::TOPOLOGY),
];

/// Write the manual pages to a directory
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Directory to write to; it is made if need be
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Every page by file name.
fn pages(root: clap::Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = root.disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    tree(&root, &mut pages)?;
    pages.extend(TOPICS.map(|topic| (format!("{}.7", topic.0), topic_page(topic))));
    let names: Vec<String> = pages.iter().map(|(name, _)| name.clone()).collect();
    pages.iter_mut().for_each(|(name, text)| text.extend(see_also(name, &names)));
    Ok(pages)
}

/// The page of a command and those of the commands below it.
fn tree(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    pages.push(page(command)?);
    command.get_subcommands().try_for_each(|below| tree(below, pages))
}

fn page(command: &clap::Command) -> io::Result<(String, Vec<u8>)> {
    let extra = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let man = clap_mangen::Man::new(command.clone()).manual("flux").source(VERSION);
    let name = man.get_filename();
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    text.extend(synopsis(command).into_bytes());
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    // clap_mangen would fill the lines of the examples into one paragraph.
    let mut end = Roff::new();
    for (title, text) in sections(&extra) {
        verbatim(&mut end, &title, &text);
    }
    text.extend(end.to_roff().into_bytes());
    Ok((name, text))
}

/// What follows the options in the help, by its headings: a line at the margin that ends with a
/// colon begins a section, and other text at the margin is notes.
fn sections(text: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for paragraph in text.trim_end().split("\n\n") {
        let (first, rest) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        let heading = first.strip_suffix(':').filter(|_| !first.starts_with(' '));
        let (title, text) = match heading {
            Some(heading) => (heading.to_uppercase(), rest),
            None if first.starts_with(' ') => (String::new(), paragraph),
            None => ("NOTES".to_owned(), paragraph),
        };
        match sections.last_mut() {
            Some((last, body)) if title.is_empty() || *last == title => {
                body.push_str("\n\n");
                body.push_str(text);
            }
            _ => sections.push((title, text.to_owned())),
        }
    }
    // As in other pages: notes follow the examples, and the exit status comes before both.
    let rank = |title: &str| match title {
        "EXIT STATUS" => 1,
        "EXAMPLES" => 2,
        "NOTES" => 3,
        _ => 0,
    };
    sections.sort_by_key(|(title, _)| rank(title));
    sections
}

/// The section that names the other pages.
fn see_also(own: &str, pages: &[String]) -> Vec<u8> {
    let others = pages.iter().filter(|page| *page != own);
    let others = others.filter_map(|page| page.rsplit_once('.'));
    let others: Vec<String> = others.map(|(name, of)| format!("{name}({of})")).collect();
    let mut page = Roff::new();
    page.control("SH", ["SEE ALSO"]);
    page.text([roman(others.join(", "))]);
    page.to_roff().into_bytes()
}

/// The usage lines; clap_mangen's own lists every option without its value.
fn synopsis(command: &clap::Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let mut page = Roff::new();
    page.control("SH", ["SYNOPSIS"]);
    for (at, line) in usage.trim_start_matches("Usage: ").trim().lines().enumerate() {
        if at > 0 {
            page.control("br", []);
        }
        page.text([roman(line.trim())]);
    }
    page.to_roff()
}

/// A section whose lines stay as they are.
fn verbatim(page: &mut Roff, title: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    page.control("SH", [title]);
    page.control("nf", []);
    page.text([roman(text.trim_end())]);
    page.control("fi", []);
}

/// The text of a topic of `flux help` as a page of its own.
fn topic_page((name, about, text): (&str, &str, &str)) -> Vec<u8> {
    let mut page = Roff::new();
    page.control("TH", [name, "7", "", VERSION, "flux"]);
    page.control("SH", ["NAME"]);
    page.text([roman(format!("{name} - {about}"))]);
    verbatim(&mut page, "DESCRIPTION", text);
    page.render().into_bytes()
}

/// Runs the command; `root` has them all.
pub fn main(args: &Args, root: clap::Command, out: &mut Stdout) -> Result<Answer, Failure> {
    const HINT: &str = "name a directory that can be made or written to, such as ./man";
    let dir = &args.dir;
    let failed = |verb: &str, path: &Path, error: &io::Error| {
        Failure::io(format_args!("cannot {verb} {}", path.display()), error).with_hint(HINT)
    };
    std::fs::create_dir_all(dir).map_err(|e| failed("make directory", dir, &e))?;
    let pages = pages(root).map_err(|e| Failure::io("cannot render the manual pages", &e))?;
    for (name, text) in pages {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|e| failed("write", &path, &e))?;
        out.text(&format!("{}\n", path.display()))?;
    }
    Ok(Answer::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_text_below_the_options_is_sorted_into_the_sections_of_a_page() {
        let text = "Examples:\n  a\n\nNotes here\ngo on.\n\nMore.\n\nWorkloads:\n  w\n\nExit status:\n  0  yes";
        let want = [
            ("WORKLOADS", "  w"),
            ("EXIT STATUS", "  0  yes"),
            ("EXAMPLES", "  a"),
            ("NOTES", "Notes here\ngo on.\n\nMore."),
        ];
        assert!(sections(text).iter().map(|(title, text)| (&**title, &**text)).eq(want));
    }

    #[test]
    fn the_manual_pages_that_are_checked_in_are_current() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
        let pages = pages(Cli::command()).unwrap();
        for (name, text) in &pages {
            let stored = std::fs::read(dir.join(name)).unwrap_or_default();
            assert!(&stored == text, "man/{name} is stale: run `make gen`");
        }
        let stored = std::fs::read_dir(dir).unwrap().count();
        assert_eq!(stored, pages.len(), "man/ holds a page of no command: run `make gen`");
    }
}
