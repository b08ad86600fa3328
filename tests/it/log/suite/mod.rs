//! What every store of the log must do: each story is told over the ports, and runs on each store.

mod claims;
mod deliveries;
mod events;
mod kept;

use super::world::{Ports, World, arrival, key, keys};

macro_rules! stories {
    ($($room:ident { $($name:ident)+ })+) => { $($(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let world = World::new();
            let log = world.open();
            $room::$name(world.ports(&log)).await;
        }
    )+)+ };
}

stories! {
    events {
        what_was_stored_is_read_back_unchanged
        duplicates_in_parallel_are_one_event
        a_clock_that_was_ahead_for_a_while_makes_no_message_new
        the_newest_sequence_is_announced
        pages_run_from_new_to_old_and_stay_stable_while_events_arrive
        a_page_of_large_events_ends_before_it_is_full
        each_filter_finds_its_own
        times_are_found_also_where_an_event_came_late
        events_are_followed_from_any_sequence
        events_are_found_by_the_state_of_their_deliveries
        an_id_that_says_nothing_of_its_message_is_found_too
        what_came_at_once_is_found_by_component_and_by_type
    }
    claims {
        first_attempts_come_in_order_each_to_one_worker
        a_claim_that_runs_out_is_given_back
        a_released_delivery_is_as_it_was
        retries_come_when_due_and_apart_from_first_attempts
        ordered_deliveries_go_one_at_a_time_per_authorizer
        an_ordered_subscription_is_held_back_by_its_oldest_only
        a_subscription_can_become_ordered_later
        the_next_due_moment_is_known
        what_a_replay_put_there_is_not_the_oldest_that_waits
        a_retry_put_off_by_a_clock_that_was_ahead_is_due
        sealed_parts_reach_our_own_subscribers_only
    }
    deliveries {
        a_dead_letter_is_counted_listed_and_can_be_retried
        a_retry_has_a_fresh_schedule_and_keeps_its_history
        enqueued_events_replace_what_waits
        a_delivery_replaced_while_under_way_still_ends
        a_try_that_began_before_a_replay_does_not_stand_for_it
        a_try_stands_though_the_clock_was_set_back_meanwhile
        a_handler_that_is_gone_uses_up_nothing_of_the_schedule
        what_is_settled_together_ends_each_in_its_way
        a_deferred_delivery_waits_and_uses_nothing_up
        a_replay_during_a_look_that_found_it_too_early_is_looked_at_again
        cancelling_ends_all_that_waits
        nothing_comes_to_wait_for_a_name_that_was_retired
        deliveries_are_listed_by_every_filter
        a_delivery_to_which_nothing_happened_can_be_looked_up_and_retried
        deliveries_with_and_without_a_record_are_listed_once_each
    }
    kept {
        refused_pushes_are_kept_bounded_and_sealed
        a_flood_of_refused_pushes_at_one_component_pushes_out_nobody_elses
        refused_pushes_are_forgotten_in_time
        replay_jobs_are_kept_and_count_their_outcome
        of_the_jobs_that_are_over_those_that_ended_last_are_kept
        reads_are_listed_newest_first
        retention_takes_what_is_over_and_leaves_what_waits
        an_event_is_found_by_its_id_for_as_long_as_it_is_kept
    }
}
