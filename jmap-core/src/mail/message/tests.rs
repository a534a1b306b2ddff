//! Tests of one message: rows, known answers, hostile input, the corpus, and mutations by seed.

mod build;
mod corpus;
mod headers;
mod hostile;
mod limits;
mod mdn;
mod snippet;
mod summary;

use super::*;

/// A mail with CRLF line ends from lines.
pub(super) fn mail(lines: &[&str]) -> Vec<u8> {
    lines.join("\r\n").into_bytes()
}

/// A generator of numbers by seed (SplitMix64).
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// What must hold of every summary of every input.
pub(super) fn check_summary(raw: &[u8], summary: &Summary) {
    assert_eq!(summary.size, raw.len() as u64);
    assert!(!summary.parts.is_empty());
    assert!(summary.parts.len() <= MIME_PARTS_MAX);
    assert!(summary.preview.chars().count() <= PREVIEW_CHARS_MAX);
    for (at, part) in summary.parts.iter().enumerate() {
        assert!(part.header_start <= part.body_start, "{part:?}");
        assert!(part.body_start <= part.body_end, "{part:?}");
        assert!(part.body_end as usize <= raw.len(), "{part:?}");
        assert_eq!(at == 0, part.parent.is_none());
        if let Some(parent) = part.parent {
            let parent = &summary.parts[parent as usize];
            assert!(parent.is_multipart());
            assert!(parent.body_start <= part.header_start);
            assert!(part.body_end <= parent.body_end, "{part:?} in {parent:?}");
        }
        if !part.is_multipart() {
            assert_eq!(part_octets(raw, part).len() as u64, part.size);
            body_value(raw, part, 100);
        }
        let index = at as u32;
        match summary.part_id(index) {
            Some(id) => assert_eq!(summary.part_index(&id), Some(index)),
            None => assert!(part.is_multipart()),
        }
    }
    let mut end = 0;
    for field in &summary.fields {
        assert!(end <= field.name_start && field.name_start < field.name_end);
        assert!(field.name_end < field.value_start && field.value_start <= field.value_end);
        assert!(field.value_end <= summary.header_len());
        end = field.value_end;
    }
    for &at in summary
        .text_body
        .iter()
        .chain(&summary.html_body)
        .chain(&summary.attachments)
    {
        assert!(!summary.parts[at as usize].is_multipart());
    }
    let leaves = (0..summary.parts.len() as u32).filter(|&at| summary.part_id(at).is_some());
    for at in leaves {
        let lists = [&summary.text_body, &summary.html_body, &summary.attachments];
        assert!(
            lists.iter().any(|list| list.contains(&at)),
            "part {at} is in no list"
        );
    }
    assert_eq!(&Summary::decode(&summary.encode()).unwrap(), summary);
}
