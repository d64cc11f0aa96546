//! A whole file: its tables in turn, and whether they make one network.

use super::model::{
    Kind, MOST_EVENTS, MOST_LINKS, MOST_PORTS, Model, Names, US, US_NAME, too_many_links,
};
use super::{events, nodes, parts};
use crate::tools::config_file::{Fields, Read, SyntaxError, Word, tables};

/// Reads a file.
pub(super) fn read(text: &str) -> Read<Model> {
    let help = "`flux help topology` has an example; https://toml.io describes TOML";
    let table = tables(text, help)?;
    let keys = ["seed", "us", "router", "host", "link", "route", "event"];
    let top = Fields::new("the file", 0, table.get_ref(), &keys)?;
    let seed = top.whole("seed", 0..=i64::MAX as u64)?;
    let mut names = Names::default();
    let mut nodes = Vec::new();
    let (at, us) = top.table("us", "{ addresses = [\"10.0.0.1/24\"] }")?.ok_or_else(|| {
        let hint = "add [us] with addresses = [\"10.0.0.1/24\"], and a [[link]] from \"us\"";
        SyntaxError::missing("there is no [us], our own machine", hint)
    })?;
    names.add(&Word { at, value: US_NAME })?;
    nodes.push(nodes::us(at, us)?);
    for (at, table) in top.tables("router")? {
        for (name, node) in nodes::routers(at, table)? {
            names.add(&name)?;
            nodes.push(node);
        }
    }
    for (at, table) in top.tables("host")? {
        for (name, node) in nodes::hosts(at, table)? {
            names.add(&name)?;
            nodes.push(node);
        }
    }
    let mut links = Vec::new();
    for (at, table) in top.tables("link")? {
        links.extend(parts::links(at, table, &names, &nodes)?);
        if links.len() > MOST_LINKS {
            return Err(too_many_links(at));
        }
    }
    let mut routes = Vec::new();
    for (at, table) in top.tables("route")? {
        routes.push(parts::route("[[route]]", at, table, &names, &nodes)?);
    }
    let mut events = Vec::new();
    for (at, table) in top.tables("event")? {
        events.push(events::event(at, table, &names, &nodes)?);
        if events.len() > MOST_EVENTS {
            let what = format!("there are more than {MOST_EVENTS} events");
            return Err(SyntaxError::at(at, what, "leave some of them out"));
        }
    }
    let model = Model { seed, nodes, links, routes, events };
    connected(&model)?;
    events::sound(&model)?;
    Ok(model)
}

/// Whether each node is linked to us, and those with one interface have one link.
fn connected(model: &Model) -> Read<()> {
    let mut count = vec![0; model.nodes.len()];
    let mut beside = vec![Vec::new(); model.nodes.len()];
    for link in &model.links {
        let [a, b] = link.ends;
        for (end, other) in [(a, b), (b, a)] {
            count[end] += 1;
            beside[end].push(other);
            let (most, what, hint) = match &model.nodes[end].kind {
                Kind::Router(_) => continue,
                Kind::Us => {
                    let what = format!("'us' has more than {MOST_PORTS} links");
                    (MOST_PORTS, what, "put a [[router]] in between")
                }
                Kind::Host { .. } => {
                    let what = format!("'{}' has more than one link", model.nodes[end].name);
                    (1, what, "hosts have one interface: put a [[router]] in between")
                }
            };
            if count[end] > most {
                return Err(SyntaxError::at(link.at, what, hint));
            }
        }
    }
    let mut seen = vec![false; model.nodes.len()];
    let mut open = vec![US];
    while let Some(node) = open.pop() {
        if !std::mem::replace(&mut seen[node], true) {
            open.extend(&beside[node]);
        }
    }
    let lost = seen.iter().position(|seen| !seen);
    match lost.map(|node| &model.nodes[node]) {
        Some(node) => {
            let what = format!("'{}' cannot be reached: no [[link]] leads there", node.name);
            let hint = format!("add [[link]] with between = [\"us\", …, \"{}\"]", node.name);
            Err(SyntaxError::at(node.at, what, hint))
        }
        None if count[US] == 0 => {
            let hint = "add [[link]] with between = [\"us\", …]";
            Err(SyntaxError::at(model.nodes[US].at, "'us' has no link", hint))
        }
        None => Ok(()),
    }
}
