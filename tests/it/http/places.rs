//! Places for what callers may draw out, and whose turn is next.

use futures_util::FutureExt as _;
use yizhan::http::places::Places;

#[tokio::test]
async fn a_crowd_of_one_key_has_one_turn_at_a_time_and_every_other_where_somebody_else_waits() {
    let places = Places::new(1, 1);
    let place = places.next("one").await;
    let mut crowd: Vec<_> = (0..100).map(|_| Box::pin(places.next("one"))).collect();
    assert!(crowd.iter_mut().all(|waiting| waiting.as_mut().now_or_never().is_none()));
    let mut other = Box::pin(places.next("other"));
    assert!(other.as_mut().now_or_never().is_none());
    drop(place);
    // The first of the crowd asks all keys only now, behind the other key, however long the crowd has stood there.
    assert!(crowd.iter_mut().all(|waiting| waiting.as_mut().now_or_never().is_none()));
    let turn = other.as_mut().now_or_never().flatten().expect("the other key's turn");
    drop(turn);
    let turns: Vec<_> = crowd.iter_mut().filter_map(|waiting| waiting.as_mut().now_or_never().flatten()).collect();
    assert_eq!(turns.len(), 1);
}
