//! Power cuts: the store is on a file system in a file. What the file holds while the process stands still is what a disk would hold if the power
//! went at that moment: what was written and not synced is in the page cache of the mounted file system, and reading the file itself does not
//! see that. The copy is mounted in its place, and the service goes on with it.
//!
//! Needs root and loop devices: run by `tests/faults`, which fails loudly where they are not to be had.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::station::{MERCHANTS, Station};
use super::{scattered, times};

/// A file system in a file, mounted.
pub struct Disk {
    folder: tempfile::TempDir,
    image: PathBuf,
    cuts: u32,
}

impl Disk {
    pub fn of(mebibytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image-0");
        fs::File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        succeed(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image));
        let disk = Self { folder, image, cuts: 0 };
        fs::create_dir(disk.mounted()).unwrap();
        disk.mount();
        disk
    }

    pub fn mounted(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn mount(&self) {
        succeed(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(self.mounted()));
    }

    fn unmount(&self) {
        succeed(Command::new("umount").arg(self.mounted()));
    }

    /// Copies what has reached the file. Whoever writes must stand still, or the copy is of many moments.
    pub fn copy(&mut self) -> PathBuf {
        self.cuts += 1;
        let copy = self.folder.path().join(format!("image-{}", self.cuts));
        succeed(Command::new("cp").arg("--sparse=auto").args([&self.image, &copy]));
        copy
    }

    /// The power comes back: the copy is what the disk holds.
    pub fn resume_from(&mut self, copy: PathBuf) {
        self.unmount();
        fs::remove_file(&self.image).unwrap();
        self.image = copy;
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The loop device goes with the mount.
        let _ = Command::new("umount").arg("-l").arg(self.mounted()).status();
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\nloop devices and root are needed; `tests/faults --without-power-cuts` goes without them",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn write(path: &Path, synced: bool) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    file.write_all(&[7; 20_000]).unwrap();
    if synced {
        file.sync_all().unwrap();
        fs::File::open(path.parent().unwrap()).unwrap().sync_all().unwrap();
    }
}

/// The test of the test: a cut takes what was not synced, and nothing that was.
#[test]
#[ignore = "mounts a file system: run by tests/faults"]
fn a_cut_takes_what_was_not_synced_and_only_that() {
    let mut disk = Disk::of(64);
    write(&disk.mounted().join("synced"), true);
    write(&disk.mounted().join("unsynced"), false);
    let copy = disk.copy();
    disk.resume_from(copy);
    assert_eq!(fs::read(disk.mounted().join("synced")).unwrap(), [7; 20_000]);
    assert!(fs::read(disk.mounted().join("unsynced")).map_or(true, |bytes| bytes != [7; 20_000]), "the cut is none");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts a file system: run by tests/faults"]
async fn after_power_cuts_nothing_acknowledged_or_handed_out_is_lost() {
    let cuts = times(3, 20);
    let mut disk = Disk::of(768);
    let mut station = Station::at(Some(&disk.mounted().join("store"))).await;
    station.start().await;
    station.granted().await;
    let mut tokens_lost = 0;
    for round in 0..cuts {
        let mut held = Vec::new();
        for (platform, app) in MERCHANTS {
            held.push((platform, app, station.served(platform, app).await["generation"].as_u64().unwrap()));
        }
        let load = station.load(8);
        station.acknowledged(60).await;
        tokio::time::sleep(Duration::from_millis(scattered(round, 1500))).await;
        let renewals: Vec<_> = held.into_iter().map(|(platform, app, generation)| station.renewal(platform, app, generation)).collect();
        tokio::time::sleep(Duration::from_millis(scattered(round * 7, 80))).await;
        // It stands still in the middle of whatever it did; the kernel may still finish what was handed to it.
        station.signal("-STOP");
        let copy = disk.copy();
        station.kill();
        load.stop().await;
        for renewal in renewals {
            renewal.await.unwrap();
        }
        disk.resume_from(copy);
        station.start().await;
        tokens_lost += station.tokens_lost().await;
        let account = station.account().await;
        println!("power cut {}: {account}", round + 1);
        account.settle("after a power cut");
    }
    station.all_delivered().await;
    let account = station.account().await;
    println!("{cuts} power cuts: {account}, refresh tokens lost: {tokens_lost}");
    account.settle("after all power cuts");
    assert_eq!(tokens_lost, 0);
    assert!(account.acknowledged >= 60 * cuts as usize, "only {} pushes were acknowledged", account.acknowledged);
    station.kill();
    let check = station.run(&["check", "--store"]);
    assert!(check.status.success(), "{}{}", String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&check.stderr));
}
