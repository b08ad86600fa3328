//! Ciphers, frames, digests and keys.

use yizhan::envelope::{cbc, digest, equal, rsa2};

/// Seals and opens with a key, a vector and a text that are taken from the input.
pub fn envelope(input: &[u8]) {
    let [length, pad_to, rest @ ..] = input else { return };
    let bytes = [16, 24, 32][usize::from(*length) % 3];
    let pad_to = if pad_to % 2 == 0 { 16 } else { 32 };
    let Some((key, rest)) = rest.split_at_checked(bytes) else { return };
    let Some((iv, plain)) = rest.split_at_checked(cbc::BLOCK) else { return };

    // Noise opens to something or is refused by its length, and nothing else.
    match cbc::decrypt(key, iv, plain) {
        Ok(noise) => {
            assert!(noise.len() == plain.len() && cbc::unpad(&noise).len() <= noise.len());
            if let Ok(frame) = cbc::frame(cbc::unpad(&noise)) {
                assert_eq!(cbc::BLOCK + 4 + frame.body.len() + frame.tail.len(), cbc::unpad(&noise).len());
            }
            assert_eq!(cbc::encrypt(key, iv, &noise, 16).expect("whole blocks")[..noise.len()], *plain);
        }
        Err(error) => assert_eq!(error, cbc::CbcError::CiphertextLength(plain.len())),
    }

    let (body, tail) = plain.split_at(plain.len() / 2);
    let framed = cbc::framed(iv.try_into().expect("16 bytes"), body, tail);
    let sealed = cbc::encrypt(key, iv, &framed, pad_to).expect("lengths that fit");
    let opened = cbc::decrypt(key, iv, &sealed).expect("what was sealed");
    let frame = cbc::frame(cbc::unpad(&opened)).expect("the frame that was sealed");
    assert_eq!((frame.body, frame.tail), (body, tail));
    assert!(cbc::decrypt(key, &iv[1..], &sealed).is_err() && cbc::decrypt(&key[1..], iv, &sealed).is_err());

    let mut parts = [key, iv, body, tail];
    let sum = digest::sorted_sha1(parts);
    parts.rotate_left(usize::from(*length) % 4);
    assert_eq!(sum, digest::sorted_sha1(parts));
    assert!(equal::hex_digest(&hex::encode(sum), &sum) && equal::hex_digest(&hex::encode_upper(sum), &sum));
    assert!(!equal::hex_digest(&hex::encode(&sum[1..]), &sum));
    assert_eq!(equal::bytes(body, tail), body == tail);
    if let Ok(text) = std::str::from_utf8(plain) {
        assert_eq!(equal::hex_digest(text, &sum), text.trim().eq_ignore_ascii_case(&hex::encode(sum)));
    }
}

/// Keys as people paste them.
pub fn keys(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(key) = cbc::key(text) {
        assert!([16, 24, 32].contains(&key.len()));
        let spaced: String = text.chars().flat_map(|c| [c, ' ']).collect();
        assert_eq!(cbc::key(&spaced).as_ref(), Ok(&key), "white space makes another key");
    }
    if let Ok(public) = rsa2::PublicKey::read(text) {
        assert_eq!(rsa2::PublicKey::read(&public.to_base64()).as_ref(), Ok(&public));
    }
    if let Ok(private) = rsa2::PrivateKey::read(text) {
        assert!(private.public().verify(b"message", &private.sign(b"message")));
        assert_eq!(format!("{private:?}"), "[redacted]");
    }
    if let Err(error) = rsa2::PublicKey::read(text) {
        assert!(error.to_string().len() < 100);
    }
    let _ = yizhan::platform::alipay::certificate::sn(text);
    let _ = yizhan::platform::alipay::certificate::root_sn(text);
}
