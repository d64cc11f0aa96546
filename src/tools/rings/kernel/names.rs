//! Names of network namespaces: the files that `ip netns` and container engines keep them open by.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// Where these files are.
const PLACES: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// The name of the namespace with that inode number; the first in the order of letters where it has
/// several.
pub(super) fn of(inode: u32) -> Option<String> {
    let named = |place: &str| {
        let files = fs::read_dir(place).ok()?;
        // A file that nothing is mounted on has a number of its own file system, which may be the same:
        // namespaces are files of nsfs, whose length is 0.
        let same = |file: &fs::DirEntry| {
            fs::metadata(file.path()).is_ok_and(|it| it.ino() == u64::from(inode) && it.len() == 0)
        };
        let names = files.flatten().filter(same);
        names.filter_map(|file| file.file_name().into_string().ok()).min()
    };
    PLACES.into_iter().find_map(named)
}
