//! Ciphers and frames.

use yizhan::envelope::cbc::{CbcError, Frame, decrypt, encrypt, frame, framed, key, unpad};

#[test]
fn a_key_with_surplus_bits_is_read() {
    assert_eq!(key("ql1234fnhsjndyskemdlsowerfvmjhxswedfrtgbqwe").unwrap().len(), 32);
    assert_eq!(key("c2hvcnQ"), Err(CbcError::KeyLength(5)));
}

#[test]
fn a_frame_survives_the_round_trip_at_every_padding() {
    let key = [7u8; 32];
    for length in 0..70 {
        let body = vec![b'x'; length];
        let sealed = encrypt(&key, &key[..16], &framed(&[1; 16], &body, b"tp"), 32).unwrap();
        let plain = decrypt(&key, &key[..16], &sealed).unwrap();
        assert_eq!(frame(unpad(&plain)).unwrap(), Frame { body: &body, tail: b"tp" });
    }
}

#[test]
fn a_length_outside_of_the_frame_is_refused() {
    let mut plain = framed(&[1; 16], b"{}", b"");
    plain[19] = 200;
    assert_eq!(frame(&plain), Err(CbcError::Frame));
    assert_eq!(frame(b"short"), Err(CbcError::Frame));
}
