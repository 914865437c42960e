//! Checks the manifest of each of fjall's trees by the checksum that it carries.
//!
//! fjall takes a tree without a manifest for a new one, and deletes trees that its catalogue (tree 0)
//! does not name: one damaged file could cost all the others. So what it believes is checked first.
//!
//! The format (lsm-tree 3, `src/version/persist.rs`): `current` holds the number of the manifest as
//! u64, the XXH3 of it as u128, and a zero byte, all little endian; the manifest is the file `v<number>`.

use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use super::journal::Fault;

/// The catalogue, and the one tree of ours.
const TREES: [&str; 2] = ["0", "1"];

/// Checks the trees of the database; changes nothing.
pub(super) fn check(database: &Path) -> Result<(), Fault> {
    let marker = std::fs::read(database.join("version")).unwrap_or_default();
    if marker != b"FJL\x03" {
        return Err(Fault::Damaged("the database's version marker is missing or wrong".to_owned()));
    }
    let trees = database.join("keyspaces");
    // fjall deletes a tree that it does not know, and does not survive one whose name is no number.
    refuse_directories(&trees, &TREES).map_err(Fault::Damaged)?;
    for tree in TREES {
        check_tree(&trees.join(tree))
            .map_err(|what| Fault::Damaged(format!("tree {tree} of the database: {what}")))?;
    }
    Ok(())
}

fn refuse_directories(below: &Path, known: &[&str]) -> Result<(), String> {
    let unreadable = |error| format!("{}: {error}", below.display());
    for entry in std::fs::read_dir(below).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_type().map_err(unreadable)?.is_dir()
            && known.iter().all(|name| entry.file_name() != *name)
        {
            return Err(format!("{} is none of the store's", entry.path().display()));
        }
    }
    Ok(())
}

fn check_tree(tree: &Path) -> Result<(), String> {
    // fjall does not survive one among the tables.
    refuse_directories(&tree.join("tables"), &[])?;
    let current = std::fs::read(tree.join("current")).map_err(|error| format!("its pointer: {error}"))?;
    let (number, checksum) = match current.split_first_chunk() {
        Some((number, [checksum @ .., 0])) if checksum.len() == 16 => (u64::from_le_bytes(*number), checksum),
        _ => return Err("its pointer is unreadable".to_owned()),
    };
    let manifest = std::fs::read(tree.join(format!("v{number}")))
        .map_err(|error| format!("its manifest {number}: {error}"))?;
    let mut hash = Xxh3::new();
    hash.update(&manifest);
    if hash.digest128().to_le_bytes() != checksum {
        return Err(format!("its manifest {number} does not match its checksum"));
    }
    Ok(())
}
