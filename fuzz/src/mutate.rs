//! A small seeded mutator for the bounded run on the stable toolchain: the changes that find most, without coverage to guide them.

/// Numbers without end from one seed (xorshift64*): the same seed, the same run.
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 when that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.roll() >> 11) as usize % end }
    }
}

/// Pieces that readers trip over.
const WORDS: &[&[u8]] = &[
    b"\0",
    b"\r\n",
    b"\n\n",
    b"\x1b[31m",
    b"%00",
    b"%2e%2e",
    b"%2F",
    b"../",
    b"//",
    b"&",
    b"=",
    b"&&",
    b"?",
    b"#",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"1e400",
    b"1e-400",
    b"NaN",
    b"<!DOCTYPE a [<!ENTITY b \"cc\">]>",
    b"&b;",
    b"&#0;",
    b"&#x110000;",
    b"<![CDATA[",
    b"]]>",
    b"<?",
    b"<!--",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x80\xae",
    b"*",
    b"**",
    b"sign_type=RSA",
    b"sign=",
    b"success",
    b"[redacted]",
    b"AAAAAAAAAAAAAAAAAAAAAA==",
    b"=",
    b"+",
    b" ",
    b"\t",
    b"2026-11-20T07:04:05Z",
    b"9999-12-31T23:59:59Z",
    b"-009999-01-01T00:00:00Z",
    b"::ffff:127.0.0.1",
    b"0x7f.1",
    b"2130706433",
    b"localhost",
    b"@",
];

/// Longest input of the bounded run.
const LONGEST: usize = 16 * 1024;

/// `seed` with one to eight changes; `other` is crossed in now and then.
pub fn mutated(dice: &mut Dice, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.below(8) {
        let at = dice.below(bytes.len() + 1);
        let end = at + dice.below(bytes.len() - at + 1);
        match dice.below(10) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            2 if at < bytes.len() => bytes[at] = dice.roll() as u8,
            3 => drop(bytes.drain(at..end.min(at + 16))),
            4 => bytes.truncate(at),
            5 => {
                let piece = bytes[at..end.min(at + 64)].to_vec();
                let to = dice.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            6 => {
                let from = dice.below(other.len() + 1);
                let piece = &other[from..from + dice.below(other.len() - from + 1).min(256)];
                bytes.splice(at..at, piece.iter().copied());
            }
            7 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1),
            _ => {
                let word = WORDS[dice.below(WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}
