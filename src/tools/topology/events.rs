//! `[[event]]`: what happens to the network, and when.

use super::model::{Event, Model, Names, Node, US_NAME, What};
use super::parts::{self, NAME};
use super::values;
use crate::text::values::time;
use crate::tools::config_file::{Fields, Read, SyntaxError, Word};
use toml::de::DeTable;

const WHATS: [&str; 6] = ["move", "down", "up", "route", "add", "remove"];

/// An interface of ours, by its number.
fn port(word: &Word<'_>) -> Option<usize> {
    word.value.strip_prefix("sim").and_then(|number| number.parse().ok())
}

/// Reads one.
pub(super) fn event<'t>(
    at: usize,
    table: &'t DeTable<'t>,
    names: &Names<'_>,
    nodes: &[Node],
) -> Read<Event> {
    let keys = ["at", "move", "told", "down", "up", "route", "add", "interface", "remove"];
    let fields = Fields::new("[[event]]", at, table, &keys)?;
    let after = fields.parsed("at", time, "a time up to 1h", "\"2s\"")?;
    let after = fields.required("at", after, "\"2s\"")?;
    let given: Vec<_> = WHATS.into_iter().filter(|key| fields.get(key).is_some()).collect();
    let [key] = given[..] else {
        let what = format!("[[event]] needs one of {}", WHATS.join(", "));
        let hint =
            "write move = \"r1\", down = [\"us\", \"r1\"] or route = { at = … }, for example";
        return Err(SyntaxError::at(at, what, hint));
    };
    for (extra, of) in [("told", "move"), ("interface", "add")] {
        if fields.get(extra).is_some() && key != of {
            let what = format!("{extra} goes with {of}");
            return Err(SyntaxError::at(fields.place(extra), what, format!("leave out {extra}")));
        }
    }
    let what = match key {
        "move" => moved(&fields, names)?,
        "down" | "up" => links(&fields, key, names)?,
        "route" => {
            let example = "{ at = \"r1\", to = \"default\", via = \"r3\" }";
            let (at, table) = fields.required(key, fields.table(key, example)?, example)?;
            What::Route(parts::route("route", at, table, names, nodes)?)
        }
        "add" => {
            let example = "\"10.0.0.9/24\"";
            let word = fields.required(key, parts::one(&fields, key, example)?, example)?;
            let interface = parts::one(&fields, "interface", "\"sim0\"")?;
            What::Add { address: values::address(&word)?, port: interface.map(ours).transpose()? }
        }
        _ => {
            let example = "\"10.0.0.1\"";
            let word = fields.required(key, parts::one(&fields, key, example)?, example)?;
            let address = word.value.split('/').next().unwrap_or_default().parse();
            let address = address.map_err(|_| {
                let what = format!("'{}' is not an IP address", word.value);
                SyntaxError::at(word.at, what, format!("write {key} = {example}"))
            })?;
            What::Remove { at: word.at, address }
        }
    };
    Ok(Event { at, after, what })
}

/// An interface that there may be: whether there is one shows when the links are known.
fn ours(word: Word<'_>) -> Read<usize> {
    port(&word).ok_or_else(|| {
        let what = format!("'{}' is not an interface of ours", word.value);
        SyntaxError::at(word.at, what, "our interfaces are sim0, sim1 and so on")
    })
}

fn moved(fields: &Fields<'_>, names: &Names<'_>) -> Read<What> {
    let words = fields.words("move", NAME)?.filter(|words| !words.is_empty());
    let words = fields.required("move", words, NAME)?;
    if let Some(us) = words.iter().find(|word| word.value == US_NAME) {
        let hint = "name routers and hosts: our own interfaces keep their Ethernet addresses";
        return Err(SyntaxError::at(us.at, "'us' cannot move", hint));
    }
    let nodes = words.iter().map(|word| names.find(word)).collect::<Read<_>>()?;
    Ok(What::Move { nodes, told: fields.maybe("told")?.unwrap_or(true) })
}

fn links(fields: &Fields<'_>, key: &'static str, names: &Names<'_>) -> Read<What> {
    let up = key == "up";
    if let Some(Some(word)) = fields.get(key).map(|value| value.get_ref().as_str()) {
        let word = Word { at: fields.place(key), value: word };
        return Ok(What::OurLink { port: ours(word)?, up });
    }
    let pairs = parts::pairs(fields, key, names)?;
    Ok(What::Links { pairs: pairs.into_iter().map(|(_, pair)| pair).collect(), up })
}

/// Whether events name links, addresses and interfaces that there are.
pub(super) fn sound(model: &Model) -> Read<()> {
    let ports = model.our_links().count();
    for event in &model.events {
        let port = match &event.what {
            What::OurLink { port, .. } => Some(*port),
            What::Add { port, .. } => *port,
            What::Links { pairs, .. } => {
                let lost = |&&[a, b]: &&[usize; 2]| {
                    !model.links.iter().any(|link| link.ends == [a, b] || link.ends == [b, a])
                };
                if let Some([a, b]) = pairs.iter().find(lost) {
                    let [a, b] = [*a, *b].map(|node| &model.nodes[node].name);
                    let what = format!("there is no link between '{a}' and '{b}'");
                    let hint = "name two nodes that a [[link]] joins";
                    return Err(SyntaxError::at(event.at, what, hint));
                }
                None
            }
            _ => None,
        };
        if let Some(port) = port.filter(|&port| port >= ports) {
            let what = format!("there is no interface sim{port}");
            let hint = format!("our links are sim0 to sim{}", ports.saturating_sub(1));
            return Err(SyntaxError::at(event.at, what, hint));
        }
    }
    Ok(())
}
