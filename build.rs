//! Keeps the checked-in BPF skeletons in step with their sources.
//!
//! Without the feature `bpf-gen` nothing is compiled, so a fresh clone builds without clang; a
//! hash of the sources tells when the result in `bpf/generated` is stale. With the feature, clang
//! compiles `bpf/*.bpf.c` and the result is written there, or to `FLUX_BPF_GENERATED`.

use std::path::{Path, PathBuf};
use std::{fs, io};

const SOURCES: &str = "bpf";
const GENERATED: &str = "bpf/generated";
const HASH: &str = "bpf/generated/sources.fnv1a";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sources = sources(Path::new(SOURCES))?;
    for source in sources.iter().map(PathBuf::as_path).chain([Path::new(HASH)]) {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    let hash = hash(&sources)?;
    println!("cargo::rerun-if-env-changed=FLUX_BPF_GENERATED");
    #[cfg(feature = "bpf-gen")]
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        let to = std::env::var("FLUX_BPF_GENERATED").unwrap_or_else(|_| GENERATED.to_owned());
        generate(&sources, Path::new(&to))?;
        let name = Path::new(HASH).file_name().ok_or("the hash has a file name")?;
        fs::write(Path::new(&to).join(name), &hash)?;
    }
    if fs::read_to_string(HASH).unwrap_or_default() != hash {
        println!(
            "cargo::warning={GENERATED} is older than {SOURCES}/*.c, *.h: regenerate it with \
             `cargo build --no-default-features --features bpf-gen` (needs clang)"
        );
    }
    Ok(())
}

/// The C files of `dir`, in an order that does not depend on the file system.
fn sources(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "c" || e == "h") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// FNV-1a (64 bits) over names and contents, as a line of text. Line ends are taken as `\n`, so
/// that a checkout that converts them hashes alike.
fn hash(files: &[PathBuf]) -> io::Result<String> {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut eat = |bytes: &[u8]| {
        for &byte in bytes.iter().filter(|&&b| b != b'\r') {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for file in files {
        eat(file.file_name().map(|n| n.as_encoded_bytes()).unwrap_or_default());
        eat(&[0]);
        eat(&fs::read(file)?);
        eat(&[0]);
    }
    Ok(format!("{hash:016x}\n"))
}

#[cfg(feature = "bpf-gen")]
fn generate(sources: &[PathBuf], to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(to)?;
    for source in sources {
        let name = source.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Some(stem) = name.strip_suffix(".bpf.c") else { continue };
        libbpf_cargo::SkeletonBuilder::new()
            .source(source)
            // The first keeps the build directory out of the object's type information.
            .clang_args(["-fdebug-compilation-dir=.", "-Wall", "-Werror"])
            .build_and_generate(to.join(format!("{stem}.skel.rs")))
            .map_err(|e| format!("{name}: {e:#}"))?;
    }
    Ok(())
}
