//! What `Cargo.toml` promises.

use serde_json::Value;
use std::process::Command;

/// Major and minor number, as in `rust-version`.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap_or(0))
}

#[test]
fn no_dependency_needs_a_newer_compiler_than_rust_version() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version=1"])
        // Without the crates of other systems, which would be downloaded only for this.
        .arg("--filter-platform=x86_64-unknown-linux-gnu")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours = packages.iter().find(|package| package["name"] == "fluxnet").unwrap();
    let promised = version(ours["rust_version"].as_str().unwrap());
    assert!(packages.len() > 50, "{} packages", packages.len());
    let newer: Vec<_> = packages
        .iter()
        .filter_map(|package| Some((&package["name"], package["rust_version"].as_str()?)))
        .filter(|(_, needs)| version(needs) > promised)
        .collect();
    assert!(newer.is_empty(), "rust-version is {promised:?}, but {newer:?}");
}
