//! What every stage promises, as cases that are generic over the client.
//!
//! A case is a function named by its promise; its doc comment says where the promise comes from.
//! The list of all cases stands once, below, and [`conformance_tests!`](crate::conformance_tests)
//! makes a test of each for one client. So the three stages cannot drift apart.
//!
//! The rules of a case: a real server on the loopback, whose script acts on events and never on a
//! clock; short limits of time only to make them run out; no upper bound on anything that is
//! measured; a bound of 30 s on the whole case, which a client that hangs runs into.

pub mod backpressure;
pub mod cancel;
pub mod close;
pub mod connect;
#[cfg(unix)]
pub mod descriptors;
pub mod executors;
pub mod faults;
pub mod framing;
pub mod handshake;
pub mod limits;
pub mod malformed;
pub mod pool;
pub mod process;
pub mod records;
pub mod request;
pub mod retry;
pub mod reuse;
pub mod service;
#[cfg(unix)]
pub mod signals;
pub mod timeouts;
pub mod trust;
pub mod uploads;

use bytes::Bytes;
use client_core::{
    ApiClient, CloseReason, Config, Error, Exchange, Name, Resolver, Resolving, Roots,
};
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};

use crate::{Gate, certs, run::block_on, run::eventually};

/// Makes a module `conformance` with one test for each case, for this client, and a module
/// `over_tls` in which the cases' servers speak TLS.
#[macro_export]
macro_rules! conformance_tests {
    ($client:ty) => {
        mod conformance {
            $crate::conformance_list! { $client, plain }
            $crate::conformance_list_of_tls! { $client, plain }
        }
        mod over_tls {
            $crate::conformance_list! { $client, over_tls }
        }
    };
}

/// One test for each case of one group, in a module of the group's name, so that a group can be run
/// alone; a step of [`conformance_tests!`](crate::conformance_tests).
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_group {
    ($client:ty, $over:ident, $group:ident: $($case:ident)*) => {
        mod $group {
            $(
                #[test]
                fn $case() {
                    $crate::run::bounded(stringify!($case), || {
                        $crate::server::$over($crate::conformance::$group::$case::<$client>);
                    });
                }
            )*
        }
    };
}

/// All cases but those of [`conformance_list_of_tls!`](crate::conformance_list_of_tls); a step of [`conformance_tests!`](crate::conformance_tests).
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_list {
    ($client:ty, $over:ident) => {
        $crate::conformance_group! { $client, $over, request:
            a_get_is_a_request_line_and_a_host
            an_empty_path_is_a_slash
            a_body_is_sent_with_its_length
            an_empty_post_says_that_it_is_empty
            the_callers_fields_are_sent_in_order
            field_values_pass_as_bytes
            the_callers_host_replaces_that_of_the_url
            a_large_body_arrives_whole
            a_url_without_scheme_and_host_is_refused
            an_unknown_scheme_is_refused
            user_information_in_a_url_is_refused
            port_zero_is_refused
            connect_is_refused
            an_upgrade_is_refused
            another_version_is_refused
            a_wrong_content_length_is_refused
            a_transfer_encoding_of_the_callers_is_refused
            two_hosts_are_refused
            a_field_cannot_hold_a_line_break
            a_request_that_is_never_polled_does_nothing
            a_method_is_sent_as_it_is
            a_target_is_sent_as_it_was_written
            what_no_target_may_hold_is_percent_encoded
            only_an_ipv6_address_stands_in_brackets
            an_ipv6_address_with_a_zone_is_refused
            an_ipv4_address_has_four_decimal_numbers
            a_port_is_a_number_of_digits
            an_empty_port_is_the_schemes_own
            the_host_that_is_resolved_is_the_host_that_is_sent
            an_expectation_is_passed_on_and_not_waited_for
        }
        $crate::conformance_group! { $client, $over, framing:
            a_content_length_ends_a_body
            an_empty_body_leaves_the_connection_usable
            chunks_are_put_together
            trailers_come_after_the_body
            chunk_extensions_are_skipped
            the_close_ends_a_body_without_length
            a_response_to_head_has_no_body
            a_204_and_a_304_have_no_body
            informational_responses_are_skipped
            http_1_0_closes_by_default
            http_1_0_is_kept_alive_if_it_says_so
            an_obsolete_line_folding_becomes_a_space
            a_line_folding_in_trailers_becomes_a_space
            lines_may_end_with_lf_alone
            repeated_fields_keep_their_order
            a_missing_reason_is_no_error
            a_large_body_comes_whole
            the_head_comes_before_the_body
            every_byte_boundary_is_a_good_place_to_split
            a_response_that_is_cut_anywhere_is_an_error
            bytes_before_a_cut_are_delivered
            two_lengths_that_agree_are_one
            chunk_sizes_have_digits_of_either_case
            chunk_sizes_may_have_leading_zeros
            a_last_chunk_alone_is_an_empty_body
            white_space_around_a_value_is_taken_off
            a_content_coding_is_left_to_the_caller
            a_body_says_how_long_it_is
            a_body_that_is_shorter_than_its_length_is_an_error
            field_values_beyond_ascii_pass_as_bytes
            unknown_statuses_are_passed_on
            a_205_is_framed_like_others
            a_chunked_response_to_head_has_no_body
            the_fields_of_a_response_without_a_body_are_not_read
            an_informational_response_has_no_body_whatever_it_says
            many_short_informational_responses_are_skipped
            chunk_sizes_may_be_padded_with_blanks
            extensions_that_are_shorter_than_their_data_have_no_limit
            a_response_to_head_needs_no_length
            a_length_may_have_leading_zeros
            a_length_in_the_trailers_changes_nothing
            field_names_have_no_case
        }
        $crate::conformance_group! { $client, $over, malformed:
            another_protocol_is_refused
            an_unknown_version_is_refused
            a_status_that_is_no_number_is_refused
            a_length_beside_a_transfer_coding_is_refused
            a_length_beside_a_transfer_coding_is_refused_where_a_body_may_be
            a_transfer_coding_that_does_not_end_with_chunked_is_refused
            two_lengths_that_differ_are_refused
            a_list_of_lengths_that_differ_is_refused
            a_signed_length_is_refused
            a_length_that_overflows_is_refused
            an_unknown_transfer_coding_is_refused
            chunked_twice_is_refused
            a_transfer_coding_in_http_1_0_is_refused
            white_space_before_a_colon_is_refused
            a_bare_cr_in_a_head_is_refused
            a_nul_in_a_head_is_refused
            a_field_without_a_colon_is_refused
            white_space_before_the_first_field_is_refused
            a_switch_of_protocols_is_refused
            a_chunk_without_a_size_is_refused
            a_chunk_size_that_is_no_number_is_refused
            a_chunk_size_that_overflows_is_refused
            a_chunk_that_does_not_end_where_it_says_is_refused
            a_size_line_that_ends_with_lf_alone_is_refused
            a_lone_lf_in_a_chunk_extension_is_refused
            a_length_that_is_no_number_is_refused
            a_status_has_three_digits
            a_field_name_that_is_no_token_is_refused
            a_chunk_size_with_a_sign_or_a_prefix_is_refused
            a_malformed_trailer_is_refused
            a_broken_response_does_not_reach_the_next_caller
        }
        $crate::conformance_group! { $client, $over, limits:
            a_head_has_a_largest_size
            a_head_has_a_largest_number_of_fields
            an_announced_body_has_a_largest_size
            a_chunked_body_has_a_largest_size
            a_body_without_length_has_a_largest_size
            informational_responses_have_a_largest_size_in_all
            a_chunk_extension_has_a_largest_size
            trailers_have_a_largest_size
            impossible_settings_are_refused
            a_head_as_long_as_the_limit_is_taken
            a_head_without_end_is_given_up
            chunk_extensions_have_a_largest_size_in_all
            chunks_may_not_cost_much_more_than_their_data
            trailers_have_a_largest_number
        }
        $crate::conformance_group! { $client, $over, faults:
            a_close_delimited_body_ends_wherever_the_connection_does
            a_response_may_come_byte_by_byte
            a_body_may_come_in_very_small_chunks
            a_reset_instead_of_a_response_is_an_error
            a_reset_in_the_middle_is_an_error_after_what_came
            a_reset_does_not_end_a_close_delimited_body
            a_server_that_ends_its_side_at_once_is_an_error
            a_half_close_behind_a_response_ends_the_connection
            a_response_without_a_request_is_nobodys
            garbage_after_the_last_chunk_ends_the_connection
            a_body_where_none_may_be_ends_the_connection
            informational_responses_alone_are_no_response
            an_informational_response_forbids_a_second_attempt
            a_reset_of_one_connection_leaves_the_others_alone
        }
        $crate::conformance_group! { $client, $over, reuse:
            a_connection_serves_the_next_request
            calls_in_a_row_need_one_connection
            connection_close_is_honoured
            the_callers_connection_close_is_honoured
            bytes_after_a_response_end_the_connection
            bytes_on_an_idle_connection_end_it
            a_close_is_noticed_while_the_connection_is_idle
            a_reset_is_noticed_while_the_connection_is_idle
            an_idle_connection_expires
            an_idle_connection_expires_after_a_limit_that_ran_for_nothing
            the_servers_idle_timeout_is_honoured
            the_servers_number_of_uses_is_honoured
            a_number_of_uses_may_be_renewed
            more_idle_connections_than_the_limit_are_closed
            the_most_recently_used_connection_is_taken_first
            two_names_of_one_server_share_no_connection
            the_close_option_is_found_in_a_list
            a_close_right_after_a_response_fails_no_call
            an_error_status_keeps_the_connection
            bytes_after_a_response_reach_no_waiter
            close_wins_over_keep_alive
            close_is_honoured_without_a_body
            what_only_looks_like_close_is_ignored
            a_malformed_keep_alive_is_ignored
            an_endless_keep_alive_is_kept
            an_idle_timeout_of_nothing_keeps_no_connection
            the_servers_idle_timeout_ends_a_second_early
        }
        $crate::conformance_group! { $client, $over, retry:
            an_idempotent_request_is_sent_again
            a_reset_counts_as_a_close
            a_body_is_sent_again_with_its_request
            a_post_is_not_sent_again
            a_response_that_began_is_not_asked_for_again
            a_fresh_connection_is_not_replaced
            a_connection_that_was_idle_before_its_first_request_is_replaced
            a_request_is_sent_again_once
            a_retry_that_cannot_connect_says_so
            a_retry_takes_a_fresh_connection
            a_timeout_is_no_reason_to_ask_again
            a_broken_response_is_not_asked_for_again
        }
        $crate::conformance_group! { $client, $over, pool:
            connections_to_one_origin_have_a_limit
            connections_in_all_have_a_limit
            waiters_are_served_in_the_order_of_arrival
            no_response_goes_to_another_caller
            waiters_have_a_limit
            without_waiting_allowed_a_free_connection_still_serves
            a_failed_connect_fails_one_waiter_only
            an_idle_connection_elsewhere_is_evicted
            an_origin_below_its_share_gets_the_freed_slot
            a_waiter_that_gives_up_is_skipped
            stats_agree_with_what_the_caller_sees
            two_origins_take_turns_on_one_connection
            a_waiter_outlives_the_connection_it_waits_for
            a_failed_exchange_fails_its_own_caller_only
            every_failure_gives_its_place_back
            more_origins_than_places_are_all_served
            a_waiter_need_not_wait_for_its_own_connect
            a_connection_is_handed_over_though_none_may_be_idle
            attempts_without_callers_make_way_for_another_origin
            an_attempt_without_a_caller_makes_way_for_the_next_caller
            an_attempt_without_a_caller_makes_way_for_waiters
        }
        $crate::conformance_group! { $client, $over, process:
            many_calls_share_few_connections
            every_caller_learns_that_the_server_is_gone
        }
        $crate::conformance_group! { $client, $over, connect:
            localhost_is_found_by_the_systems_resolver
            an_address_asks_no_resolver
            an_ipv6_address_in_brackets_is_connected_to
            a_resolver_of_the_users_is_asked
            a_name_that_is_not_found_says_so
            an_answer_without_addresses_is_an_error
            a_resolver_that_panics_fails_one_request
            silent_names_do_not_stop_another_name
            two_calls_of_one_name_make_one_lookup
            an_error_of_a_lookup_reaches_each_caller
            a_lookup_that_nobody_waits_for_is_dropped
            a_lookup_without_a_caller_makes_way
            an_invalid_name_is_not_found_by_the_systems_resolver
            a_refused_connection_names_its_address
            a_refusing_address_gives_way_to_the_next
            a_silent_address_gives_way_to_the_next
            a_silent_family_gives_way_to_the_other
            a_dead_family_gives_way_to_the_other
            when_all_addresses_fail_each_is_named
        }
        $crate::conformance_group! { $client, $over, timeouts:
            a_resolver_that_never_answers_is_a_connect_timeout
            an_address_that_never_answers_is_a_connect_timeout
            a_race_that_is_not_decided_is_a_connect_timeout
            a_server_that_never_answers_is_a_head_timeout
            a_head_that_does_not_end_is_a_head_timeout
            a_head_that_trickles_is_a_head_timeout
            a_body_that_stands_still_is_a_body_timeout
            a_slow_body_that_moves_does_not_time_out
            a_reader_that_pauses_is_no_idle_body
            a_call_that_is_not_whole_in_time_is_a_total_timeout
            a_body_without_end_is_a_total_timeout
            a_request_that_cannot_be_written_is_a_total_timeout
            waiting_for_a_connection_counts
            a_deadline_acts_though_nobody_polls
            after_a_timeout_the_next_call_gets_a_new_connection
            endless_limits_are_no_limits
            a_deadline_does_not_outlive_its_call
            a_body_that_has_come_is_not_late
        }
        $crate::conformance_group! { $client, $over, cancel:
            a_call_that_waits_leaves_the_queue
            a_call_that_resolves_leaves_its_connection_to_others
            a_call_that_connects_leaves_its_connection_to_others
            a_call_that_writes_closes_its_connection
            a_call_that_waits_for_the_head_closes_its_connection
            a_body_that_is_dropped_closes_its_connection
            a_body_that_is_here_may_be_dropped_unread
            a_response_that_nobody_takes_leaks_nothing
            a_storm_of_cancelled_calls_leaks_nothing
            many_callers_that_give_up_leave_the_client_in_order
            a_body_that_nobody_reads_any_more_frees_its_place
            a_body_whose_rest_has_come_may_be_dropped
        }
        $crate::conformance_group! { $client, $over, backpressure:
            a_reader_that_stops_blocks_its_own_server_only
            a_reader_may_stop_many_times
            a_slow_server_gets_the_whole_request
        }
        $crate::conformance_group! { $client, $over, uploads:
            an_upload_goes_on_after_an_early_response
            an_upload_goes_on_after_an_early_response_without_a_body
            an_upload_goes_on_after_an_early_response_with_trailers
            an_upload_goes_on_though_nobody_polls
            a_waiter_gets_the_connection_after_an_upload
            close_lets_an_upload_finish
            a_request_that_is_out_is_known_to_be_whole
            a_response_that_closes_ends_the_upload
            a_server_that_answers_and_closes_ends_the_upload
            a_server_that_answers_and_resets_ends_the_upload
            a_server_that_answers_and_stops_reading_ends_the_upload
            the_total_limit_ends_an_upload_behind_its_response
            a_response_that_is_dropped_ends_the_upload
            bytes_behind_an_early_response_end_the_connection
            bytes_behind_an_early_response_do_not_stop_the_upload
            an_end_behind_unasked_bytes_ends_the_upload
            a_response_that_is_cut_cuts_the_upload
            a_server_that_stops_reading_is_a_write_timeout
            a_server_that_only_talks_is_a_write_timeout
            a_slow_upload_that_moves_does_not_time_out
            a_reader_that_pauses_is_no_idle_upload
        }
        $crate::conformance_group! { $client, $over, close:
            close_closes_idle_connections
            close_takes_effect_without_being_polled
            after_close_requests_are_refused
            close_lets_accepted_calls_finish
            close_may_be_called_many_times
            a_body_outlives_the_last_handle
            a_call_outlives_the_last_handle
            the_last_handle_closes_idle_connections
            a_call_that_is_polled_after_close_is_refused
            close_lets_a_connect_finish
            close_ends_a_connect_that_nobody_waits_for
            close_ends_an_attempt_that_nobody_waits_for
            close_ends_a_reconnect_that_nobody_waits_for
            close_lets_a_body_finish
        }
        $crate::conformance_group! { $client, $over, executors:
            the_futures_executor_drives_calls
            smol_drives_calls
            tokio_with_many_threads_drives_calls
            tokio_with_one_thread_drives_calls
            many_threads_share_a_client
            a_call_may_move_between_threads
            a_client_made_outside_serves_a_runtime
            a_client_made_inside_a_runtime_serves_others
        }
        $crate::conformance_group! { $client, $over, service:
            a_service_is_ready_until_it_is_closed
            a_service_call_is_a_request
            a_full_pool_refuses_in_call
        }
    };
}

/// The cases whose servers are told how to speak TLS; a step of
/// [`conformance_tests!`](crate::conformance_tests).
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_list_of_tls {
    ($client:ty, $over:ident) => {
        $crate::conformance_group! { $client, $over, trust:
            origins_with_and_without_tls_share_a_pool
            the_scheme_is_part_of_the_origin
            roots_of_the_users_are_trusted
            an_unknown_issuer_is_refused
            an_issuer_that_only_has_the_name_is_refused
            a_certificate_for_another_name_is_refused
            an_expired_certificate_is_refused
            a_certificate_that_is_not_valid_yet_is_refused
            a_certificate_for_clients_is_refused
            a_wildcard_stands_for_one_label
            an_address_has_to_be_certified_as_one
            an_ipv6_address_may_be_certified
            a_certified_name_has_no_case
            the_last_dot_of_a_name_is_not_certified
            no_roots_are_an_error
            no_roots_are_no_error_without_tls
            a_client_shows_its_certificate_if_asked
            a_client_without_a_certificate_is_told_so
            a_clients_certificate_of_a_stranger_is_refused
            a_key_that_does_not_fit_is_an_error
            a_refused_server_harms_no_other
            every_waiter_of_a_refused_server_is_told
        }
        $crate::conformance_group! { $client, $over, handshake:
            tls_has_two_versions
            a_session_is_resumed
            a_session_is_resumed_while_its_first_connection_is_busy
            a_session_need_not_be_resumed
            a_session_is_not_resumed_by_another_client
            the_name_of_the_server_is_sent
            the_protocol_is_agreed_on
            a_server_need_not_agree_on_a_protocol
            a_server_of_another_protocol_is_refused
            a_protocol_that_nobody_offered_is_refused
            a_client_says_hello_again_if_asked
            a_long_certificate_comes_in_several_records
            a_handshake_may_come_byte_by_byte
            a_handshake_that_is_cut_anywhere_is_an_error
            an_end_instead_of_a_handshake_is_an_error
            a_reset_instead_of_a_handshake_is_an_error
            a_server_without_tls_is_an_error
            a_server_that_greets_is_an_error
            an_alert_in_the_handshake_is_passed_on
            a_flight_that_was_changed_is_refused
            a_handshake_that_stands_still_is_a_connect_timeout
            a_connect_timeout_covers_the_whole_chain
            a_call_that_is_not_whole_in_time_leaves_its_handshake
            a_connect_timeout_does_not_outlive_the_handshake
            a_call_that_is_dropped_leaves_its_handshake
            a_handshake_takes_a_place_in_the_pool
            handshakes_without_callers_make_way
            close_lets_a_handshake_finish
            close_ends_a_handshake_that_nobody_waits_for
            tickets_on_an_idle_connection_are_no_response
        }
        $crate::conformance_group! { $client, $over, records:
            an_end_without_notice_cuts_a_body_without_length
            an_end_with_notice_ends_a_body_without_length
            the_notice_alone_ends_a_body_without_length
            a_whole_body_needs_no_notice
            a_notice_makes_no_body_whole
            an_end_within_the_head_is_an_error
            a_record_that_is_cut_is_no_data
            an_end_of_an_idle_connection_is_noticed
            a_reset_of_an_idle_connection_with_tls_is_noticed
            the_client_gives_notice_of_its_end
            a_response_may_come_in_pieces_of_records
            a_record_may_hold_one_byte
            what_is_decrypted_needs_no_event
            a_reader_that_stops_within_a_record_gets_the_rest
            data_on_an_idle_connection_is_nobodys
            data_before_a_fatal_alert_is_delivered
            data_before_a_broken_record_is_delivered
            a_broken_record_is_not_asked_for_again
            a_broken_record_ends_an_idle_connection
            a_broken_record_is_answered_by_an_alert
            keys_may_change_in_the_middle_of_a_body
            keys_may_change_on_an_idle_connection
            keys_may_change_in_the_middle_of_a_request
            keys_may_change_on_one_side
            a_renegotiation_is_refused
        }
    };
}

/// A response that came whole.
#[derive(Debug)]
pub struct Got {
    /// The status code.
    pub status: StatusCode,
    /// The version of the response.
    pub version: Version,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
    /// Its trailers, if it had any.
    pub trailers: Option<HeaderMap>,
    /// What carried it.
    pub exchange: Exchange,
}

/// A resolver whose answer, 127.0.0.1, comes when its gate opens.
#[derive(Debug)]
pub struct Gated(pub Gate);

impl Resolver for Gated {
    fn resolve(&self, _: Name) -> Resolving {
        let gate = self.0.clone();
        Box::pin(async move {
            gate.await;
            Ok(vec![[127, 0, 0, 1].into()])
        })
    }
}

/// A client with these settings; without others of TLS it trusts the servers of this process.
pub fn client<C: ApiClient>(mut config: Config) -> C {
    if matches!(config.tls.roots, Roots::System) {
        config.tls.roots = certs::trusting().roots;
    }
    C::new(config).expect("a client")
}

/// A client with one connection per origin: there the order of service is certain.
pub fn client_of_one<C: ApiClient>() -> C {
    client(Config::new().max_per_origin(1))
}

/// A GET without fields.
pub fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).expect("a valid URL")
}

/// A request with this method and body.
pub fn send(method: &str, url: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(url)
        .body(Full::new(body.into()))
        .expect("a valid request")
}

/// One call, its body included.
///
/// # Errors
///
/// The client's.
pub async fn fetch<C: ApiClient>(
    client: &C,
    request: Request<Full<Bytes>>,
) -> Result<Got, Error> {
    let (head, mut body) = client.request(request).await?.into_parts();
    let collected = (&mut body).collect().await?;
    let exchange = body.exchange();
    let trailers = collected.trailers().cloned();
    Ok(Got {
        status: head.status,
        version: head.version,
        headers: head.headers,
        body: collected.to_bytes(),
        trailers,
        exchange,
    })
}

/// One call, waited for on this thread.
///
/// # Errors
///
/// The client's.
pub fn call<C: ApiClient>(client: &C, request: Request<Full<Bytes>>) -> Result<Got, Error> {
    block_on(fetch(client, request))
}

/// A call that must succeed.
#[track_caller]
pub fn expect<C: ApiClient>(client: &C, request: Request<Full<Bytes>>) -> Got {
    call(client, request).expect("a whole response")
}

/// A call that must fail; the word of its error's kind.
#[track_caller]
pub fn expect_error<C: ApiClient>(client: &C, request: Request<Full<Bytes>>) -> Error {
    match call(client, request) {
        Ok(got) => panic!("expected an error, got {got:?}"),
        Err(error) => error,
    }
}

/// Polls a future once, on this thread, which hands a request over; then the client goes on alone.
pub fn begin<F: Future + Unpin>(future: &mut F) {
    let polled = block_on(std::future::poll_fn(|cx| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_ready())
    }));
    assert!(!polled, "expected the future to be pending after its first poll");
}

/// Waits until this many connections were closed for this reason.
#[track_caller]
pub fn wait_closed<C: ApiClient>(client: &C, reason: CloseReason, count: u64) {
    eventually(&format!("{count} closed as {reason}"), || {
        client.stats().closed(reason) == count
    });
}
