//! The read audit: kept with the days, so that it goes with them.

use fjall::Readable;

use super::days::index;
use super::turns::search;
use super::writer::Job;
use super::{FjallLog, Store, damaged, malformed};
use crate::inbox::{LogError, Page, Position};
use crate::vault::audit::{Read, ReadLog};

/// Reads looked at for one page.
const LOOKED_AT: usize = 20_000;

#[async_trait::async_trait]
impl ReadLog for FjallLog {
    async fn append(&self, reads: Vec<Read>) -> Result<(), LogError> {
        if reads.is_empty() {
            return Ok(());
        }
        self.committer.ask(|answer| Job::Reads(reads, answer)).await
    }

    async fn reads(&self, component: Option<&str>, after: Option<&Position>, limit: usize) -> Result<Page<Read>, LogError> {
        let component = component.map(str::to_owned);
        let after = match after {
            None => None,
            Some(Position(text)) => {
                let place = text.split_once('.').and_then(|(day, key)| Some((day.parse::<u32>().ok()?, hex::decode(key).ok()?)));
                Some(place.ok_or(LogError::NoPosition)?)
            }
        };
        search(&self.store, move |store| store.read_page(component.as_deref(), after, limit.max(1))).await
    }
}

impl Store {
    fn read_page(&self, component: Option<&str>, after: Option<(u32, Vec<u8>)>, limit: usize) -> Result<Page<Read>, LogError> {
        let (mut items, mut last, mut looked_at) = (Vec::new(), None, 0);
        let place = |(day, key): (u32, Vec<u8>)| Position(format!("{day}.{}", hex::encode(key)));
        let snapshot = self.db.snapshot();
        for day in self.days.all().iter().rev().filter(|day| after.as_ref().is_none_or(|(label, _)| day.label <= *label)) {
            let end = match &after {
                Some((label, key)) if *label == day.label => key.clone(),
                _ => vec![index::READ + 1],
            };
            for guard in snapshot.range(&day.index, vec![index::READ]..end).rev() {
                let (key, value) = guard.into_inner().map_err(damaged)?;
                let read: Read = serde_json::from_slice(&value).map_err(|_| malformed("a read of the audit"))?;
                looked_at += 1;
                if component.is_none_or(|component| component == read.component) {
                    if items.len() >= limit {
                        return Ok(Page { items, next: last.map(place) });
                    }
                    items.push(read);
                    last = Some((day.label, key.to_vec()));
                }
                if looked_at >= LOOKED_AT.max(limit) {
                    return Ok(Page { items, next: Some(place((day.label, key.to_vec()))) });
                }
            }
        }
        Ok(Page { items, next: None })
    }
}
