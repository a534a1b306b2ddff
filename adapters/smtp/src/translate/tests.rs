//! One answer for many recipients, and whom somebody may act as.

use super::*;

type Outcomes = Vec<Result<(), DeliverError>>;

#[test]
fn one_answer_for_all() {
    use DeliverError::*;
    let rows: [(Outcomes, Option<u16>); 8] = [
        (vec![Ok(()), Ok(())], None),
        (vec![Err(Refused("no".to_owned()))], Some(550)),
        (vec![Err(NoSuchMailbox)], Some(550)),
        (vec![Err(NoSuchMailbox), Err(NoSuchMailbox)], Some(550)),
        (vec![Err(NoSuchMailbox), Err(OverQuota)], Some(452)),
        (vec![Err(Temporary), Err(NoSuchMailbox)], Some(451)),
        // Who has it doesn't get it again.
        (vec![Ok(()), Err(NoSuchMailbox)], None),
        (vec![Err(OverQuota), Ok(())], None),
    ];
    for (outcomes, code) in rows {
        assert_eq!(
            one_for_all(&outcomes).map(|reply| reply.code),
            code,
            "{outcomes:?}"
        );
    }
}

#[test]
fn nobody_acts_as_somebody_else() {
    let login = |authzid: Option<&str>| {
        credentials(sasl::Credentials::Password {
            authzid: authzid.map(str::to_owned),
            authcid: "ann@example.org".to_owned(),
            password: net::Secret::new("s".to_owned()),
        })
        .is_some()
    };
    assert!(login(None));
    assert!(login(Some("Ann@example.org")));
    assert!(!login(Some("bob@example.org")));
}

#[test]
fn a_code_and_its_enhanced_code_agree() {
    let replies = [
        recipient_error(RecipientError::NotLocal),
        recipient_error(RecipientError::OverQuota),
        deliver_error(&DeliverError::Refused("no".to_owned())),
        deliver_error(&DeliverError::Loop),
        deliver_error(&DeliverError::NoRoom),
        deliver_error(&DeliverError::OverQuota),
        deliver_error(&DeliverError::NoSuchMailbox),
        deliver_error(&DeliverError::Temporary),
        submit_error(&SubmitError::TooManyRecipients),
        submit_error(&SubmitError::SentTooMuch { minutes: 7 }),
        submit_error(&SubmitError::TooManyWaiting),
        parse_error(ParseError::ChunkSize),
        parse_error(ParseError::OtherProtocol),
        auth_error(&AuthError::Disabled),
        auth_error(&AuthError::TooBusy),
        refusal(Refusal::Rate),
        no_room_in_flight(),
        too_large(),
    ];
    let errors = [
        DeliverError::Refused("no".to_owned()),
        DeliverError::Loop,
        DeliverError::OverQuota,
        DeliverError::NoSuchMailbox,
        DeliverError::NoRoom,
        DeliverError::Temporary,
    ];
    for error in errors {
        let reply = deliver_error(&error);
        assert_eq!(reply.is_temporary(), error.is_temporary(), "{error}");
    }
    for reply in replies {
        let class = reply.code.to_string()[..1].to_owned();
        assert!(reply.enhanced.unwrap().starts_with(&class), "{reply:?}");
    }
}
