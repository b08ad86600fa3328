//! The form of a backup.

use yizhan::store::archive::{ArchiveError, ArchiveReader, ArchiveWriter, Record};

fn sample() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = ArchiveWriter::new(&mut bytes).unwrap();
    archive.section("vault/tokens").unwrap();
    archive.record(b"a", b"1").unwrap();
    archive.record(b"b", b"").unwrap();
    archive.section("log/empty").unwrap();
    archive.section("log/events").unwrap();
    archive.record(&[0, 255], &vec![7; 100_000]).unwrap();
    archive.record(b"last", b"one").unwrap();
    assert_eq!(archive.finish().unwrap(), 4);
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<Record>, ArchiveError> {
    let mut archive = ArchiveReader::new(bytes)?;
    let mut records = Vec::new();
    while let Some(record) = archive.next()? {
        records.push(record);
    }
    assert!(archive.next()?.is_none(), "an ended archive stays ended");
    Ok(records)
}

#[test]
fn an_archive_gives_back_what_was_put_in_section_by_section() {
    let records = read(&sample()).unwrap();
    let brief: Vec<_> = records.iter().map(|record| (&*record.section, record.key.as_slice(), record.value.len())).collect();
    assert_eq!(
        brief,
        [
            ("vault/tokens", b"a".as_slice(), 1),
            ("vault/tokens", b"b".as_slice(), 0),
            ("log/events", [0, 255].as_slice(), 100_000),
            ("log/events", b"last".as_slice(), 3),
        ]
    );
}

#[test]
fn a_truncated_archive_is_noticed_wherever_it_was_cut() {
    let whole = sample();
    for length in (0..whole.len()).step_by(997).chain([16, whole.len() - 1]) {
        assert!(read(&whole[..length]).is_err(), "cut at {length}");
    }
    assert!(matches!(read(&whole[..whole.len() - 1]), Err(ArchiveError::Truncated(4))));
}

#[test]
fn a_flipped_bit_is_noticed_wherever_it_is() {
    let whole = sample();
    for at in (0..whole.len()).step_by(503).chain(0..64) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        assert!(read(&damaged).is_err(), "bit flipped in byte {at}");
    }
}

#[test]
fn a_foreign_file_is_called_so() {
    assert!(matches!(read(b"PK\x03\x04 and so on and on"), Err(ArchiveError::Foreign)));
    assert!(matches!(read(b""), Err(ArchiveError::Foreign)));
    let mut newer = sample();
    newer[15] = 9;
    assert!(matches!(read(&newer), Err(ArchiveError::Version(9))));
}
