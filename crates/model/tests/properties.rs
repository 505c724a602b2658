//! What holds for every state and every change.
use lvs_model::{
    desired::Desired,
    diff::diff,
    observed::Observed,
    plan::{plan, server_addresses, targets},
};
use proptest::prelude::*;

#[path = "support/generate.rs"]
mod generate;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changes_keep_a_state_valid_or_change_nothing(
        start in generate::desired(),
        changes in generate::changes(12),
    ) {
        prop_assert_eq!(start.violations(), vec![]);
        let mut state = start;
        for (pick, seed) in changes {
            let change = generate::change(&state, pick, seed);
            let before = state.clone();
            match state.apply(&change) {
                Ok(()) => prop_assert_eq!(state.violations(), vec![], "after {:?}", change),
                Err(error) => {
                    prop_assert_eq!(&state, &before, "{}", error);
                    prop_assert!(!error.remedy().is_empty());
                }
            }
        }
    }

    #[test]
    fn json_brings_back_the_same(start in generate::desired(), changes in generate::changes(4)) {
        let text = serde_json::to_string(&start).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Desired>(&text).unwrap(), &start);
        for (pick, seed) in changes {
            let change = generate::change(&start, pick, seed);
            let text = serde_json::to_string(&change).unwrap();
            let back: lvs_model::change::Change = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(back, change, "{}", text);
        }
    }

    #[test]
    fn a_state_differs_from_itself_in_nothing(state in generate::desired()) {
        prop_assert_eq!(diff(&state, &state.clone()), vec![]);
    }

    #[test]
    fn every_change_but_of_order_is_a_difference(
        a in generate::desired(),
        changes in generate::changes(3),
    ) {
        let mut b = a.clone();
        for (pick, seed) in changes {
            let change = generate::change(&b, pick, seed);
            drop(b.apply(&change)); // a refused one changes nothing
        }
        let (mut x, mut y) = (a.clone(), b.clone());
        x.services.sort_by(|s, t| s.name.cmp(&t.name));
        y.services.sort_by(|s, t| s.name.cmp(&t.name));
        prop_assert_eq!(diff(&a, &b).is_empty(), x == y);
    }

    #[test]
    fn a_plan_has_every_service_by_key_and_every_server_in_order(state in generate::desired()) {
        let planned = plan(&state, &Observed::default());
        prop_assert!(planned.services.is_sorted_by(|a, b| a.key < b.key));
        prop_assert_eq!(planned.services.len(), state.services.len());
        for service in &state.services {
            let found = planned.services.iter().find(|planned| planned.key == service.key).unwrap();
            let wanted: Vec<_> = service.servers.iter().map(|server| server.address).collect();
            let got: Vec<_> = found.servers.iter().map(|server| server.address).collect();
            prop_assert_eq!(got, wanted);
        }
    }

    #[test]
    fn targets_and_addresses_are_those_of_servers(state in generate::desired()) {
        let addresses = server_addresses(&state);
        let targets = targets(&state);
        prop_assert!(targets.iter().all(|target| addresses.contains(&target.address.ip())));
        prop_assert!(targets.iter().all(|target| target.check.port.is_none()));
    }
}
