//! A reader that follows a writer.

use super::fixture::*;
use crate::ids::StorePosition;
use crate::store::{Batch, Place};

#[test]
fn readers_follow_through_rotations_while_it_is_written() {
    let bench = Bench::new(5000);
    let (store, mut writer) = bench.started();
    let all = samples(1, 400);
    let followers: Vec<_> = [60, 700, 1 << 20]
        .into_iter()
        .map(|max_bytes| {
            let store = store.clone();
            let count = all.len();
            std::thread::spawn(move || {
                let marks = store.marks();
                let mut reader = store.reader(StorePosition::ZERO).unwrap();
                let (mut found, mut batch) = (Vec::new(), Batch::new());
                let complete = |found: &Vec<Sample>| {
                    found.len() == count && found.last().is_some_and(|last| last.events.len() == 3)
                };
                while !complete(&found) {
                    let limit = marks.borrow().synced;
                    reader.next_batch(limit, max_bytes, &mut batch).unwrap();
                    assert!(
                        batch
                            .end()
                            .is_none_or(|end| end <= limit || end.file < limit.file)
                    );
                    collect(&batch, &mut found);
                    if batch.is_empty() {
                        std::thread::yield_now();
                    }
                }
                found
            })
        })
        .collect();
    for chunk in all.chunks(7) {
        for sample in chunk {
            put(&mut writer, sample).unwrap();
        }
        writer.flush().unwrap();
    }
    for follower in followers {
        assert_same(&follower.join().unwrap(), &all);
    }
}

#[test]
fn the_head_of_a_file_comes_first_also_in_its_middle() {
    let bench = Bench::new(600);
    let (store, mut writer) = bench.started();
    let mut ends = Vec::new();
    for sample in samples(1, 9) {
        ends.push(put_all(&mut writer, &[sample]).unwrap());
    }
    let mut reader = store.reader(ends[4]).unwrap();
    let mut batch = Batch::new();
    let mut files = Vec::new();
    let mut first = true;
    loop {
        reader.next_batch(ends[8], 1 << 20, &mut batch).unwrap();
        let Some(end) = batch.end() else { break };
        let (event, bytes) = batch.iter().next().unwrap();
        if files.last() != Some(&end.file) {
            files.push(end.file);
            assert_eq!(event.place, Place::Head);
            assert_eq!(event.kind, crate::event::EventType::FORMAT_DESCRIPTION);
            assert_eq!(batch.len(), 2);
            assert_eq!(bytes.len() as u64 + 4, event.end.offset);
        } else if first {
            assert!(matches!(&event.place, Place::Start(gtid) if gtid.to_string() == "0-7-6"));
            first = false;
        }
    }
    assert_eq!(*files.last().unwrap(), ends[8].file);
    assert_eq!(reader.position(), ends[8]);
}
