//! The container image is built of what the build needs: what `.dockerignore` leaves out and the Dockerfile does not copy is not there.

use std::path::{Component, Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Files outside of the sources that the code takes in when it is built, from the project's folder.
fn taken_in() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(ROOT).join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let calls = ["include_str!(\"", "include_bytes!(\""].iter().flat_map(|call| text.split(call).skip(1));
                found.extend(calls.map(|rest| plain(&path.parent().unwrap().join(rest.split('"').next().unwrap()))));
            }
        }
    }
    found.retain(|path| !path.starts_with("src"));
    found
}

/// Without `..`, from the project's folder.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.strip_prefix(ROOT).unwrap().components() {
        match part {
            Component::ParentDir => assert!(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn the_image_is_built_of_all_that_the_code_takes_in() {
    let read = |file: &str| std::fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    let (ignore, dockerfile) = (read(".dockerignore"), read("deploy/Dockerfile"));
    let let_through: Vec<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let copied: Vec<&str> = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")?.split(' ').next()).collect();
    let taken_in = taken_in();
    assert!(taken_in.iter().any(|path| path.ends_with("deploy/yizhan.toml")), "{taken_in:?}");
    for path in taken_in {
        assert!(path.to_str().unwrap().is_ascii() && Path::new(ROOT).join(&path).exists(), "{path:?}");
        assert!(let_through.iter().any(|one| path.starts_with(one)), ".dockerignore keeps {path:?} out");
        assert!(copied.iter().any(|one| path.starts_with(one)), "deploy/Dockerfile does not copy {path:?}");
    }
}
