//! What users of other tools reported from networks that nobody here built: each report is a case,
//! made anew in namespaces, with the right behaviour. `docs/field.md` lists them.

mod following;
mod support;
mod targets;
