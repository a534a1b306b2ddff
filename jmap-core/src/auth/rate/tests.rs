use super::*;
use crate::auth::credentials::Protocol;
use crate::clock::{TestClock, UtcMillis};
use crate::rng::{Rng, SeededRng};

const ANN: AccountId = AccountId::new(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

struct Gate {
    rate: LoginRate,
    clock: Arc<TestClock>,
}

fn gate() -> Gate {
    let clock = Arc::new(TestClock::new(UtcMillis(0)));
    Gate {
        rate: LoginRate::new(LoginLimits::default(), clock.clone()),
        clock,
    }
}

fn from(ip: &str) -> Origin {
    Origin {
        ip: ip.parse().unwrap(),
        protocol: Protocol::Imap,
        tls: true,
    }
}

impl Gate {
    fn check(&self, ip: &str, login: &str) -> Result<Duration, RetryAfter> {
        self.rate.check(&from(ip), Some(login))
    }

    fn fail(&self, ip: &str, login: &str, times: u32) {
        for _ in 0..times {
            self.rate.failed(&from(ip), Some(login));
        }
    }

    fn succeed(&self, ip: &str, login: &str) {
        self.rate.succeeded(&from(ip), Some(login));
    }
}

const FREE: Result<Duration, RetryAfter> = Ok(Duration::ZERO);

#[test]
fn one_account_from_one_network_waits_ever_longer() {
    let gate = gate();
    gate.fail("192.0.2.1", "ann", 5);
    assert_eq!(gate.check("192.0.2.1", "ann"), FREE);
    for seconds in [2, 4, 8, 16, 32, 64, 128, 256, 512] {
        gate.fail("192.0.2.1", "ann", 1);
        let wait = SECOND * seconds;
        assert_eq!(gate.check("192.0.2.1", "ann"), Err(RetryAfter(wait)));
        gate.clock.advance(wait - Duration::from_millis(1));
        assert!(gate.check("192.0.2.1", "ann").is_err());
        gate.clock.advance(Duration::from_millis(1));
        assert_eq!(gate.check("192.0.2.1", "ann"), FREE, "{seconds}");
    }
    gate.fail("192.0.2.1", "ann", 40);
    assert_eq!(gate.check("192.0.2.1", "ann"), Err(RetryAfter(15 * MINUTE)));
}

#[test]
fn the_others_go_on() {
    let gate = gate();
    gate.fail("192.0.2.1", "ann", 10);
    assert!(gate.check("192.0.2.1", "ann").is_err());
    let rows = [
        ("192.0.2.2", "ann", true),
        ("192.0.2.1", "bob", true),
        ("192.0.2.1", "Ann ", false),
        ("::ffff:192.0.2.1", "ann", false),
    ];
    for (ip, login, free) in rows {
        assert_eq!(gate.check(ip, login) == FREE, free, "{ip} {login}");
    }
}

#[test]
fn a_network_over_many_accounts() {
    let rows = [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ("127.0.0.1", "127.0.0.1", false),
        ("::1", "::1", false),
    ];
    for (attacker, other, refused) in rows {
        let gate = gate();
        for number in 0..60 {
            gate.fail(attacker, &format!("user{number}"), 1);
        }
        assert_eq!(gate.check(other, "ann").is_err(), refused, "{other}");
        assert_eq!(gate.rate.check(&from(other), None).is_err(), refused);
    }
}

#[test]
fn many_networks_of_one_site() {
    let gate = gate();
    for network in 0..501 {
        let ip = format!("2001:db8:1:{network:x}::1");
        assert!(gate.check(&ip, "ann").is_ok(), "{network}");
        gate.fail(&ip, &format!("user{network}"), 1);
    }
    let rows = [
        ("2001:db8:1:ffff::1", true),
        ("2001:db8:2::1", false),
        ("192.0.2.1", false),
    ];
    for (ip, refused) in rows {
        assert_eq!(gate.check(ip, "ann").is_err(), refused, "{ip}");
    }
    gate.clock.advance(60 * MINUTE);
    assert_eq!(gate.check("2001:db8:1:ffff::1", "ann"), FREE);
}

#[test]
fn bad_tokens_count_for_the_network() {
    let gate = gate();
    for _ in 0..51 {
        gate.rate.failed(&from("192.0.2.1"), None);
    }
    assert!(gate.check("192.0.2.1", "ann").is_err());
}

#[test]
fn an_account_is_only_slowed_down() {
    let gate = gate();
    gate.succeed("192.0.2.1", "ann");
    for host in 0..=255 {
        gate.fail(&format!("198.51.100.{host}"), "ann", 2);
    }
    let rows = [
        // The owner where she was before, the owner elsewhere, somebody else.
        ("192.0.2.1", "ann", FREE),
        ("203.0.113.1", "ann", Ok(2 * SECOND)),
        ("203.0.113.1", "bob", FREE),
    ];
    for (ip, login, want) in rows {
        assert_eq!(gate.check(ip, login), want, "{ip} {login}");
    }
    gate.clock.advance(60 * MINUTE);
    assert_eq!(gate.check("203.0.113.1", "ann"), FREE);
}

#[test]
fn who_is_known_is_spared_the_limit_of_the_network() {
    let gate = gate();
    gate.succeed("192.0.2.1", "ann");
    for number in 0..60 {
        gate.fail("192.0.2.1", &format!("user{number}"), 1);
    }
    assert_eq!(gate.check("192.0.2.1", "ann"), FREE);
    assert!(gate.check("192.0.2.1", "bob").is_err());
    // But not the limit of her own.
    gate.fail("192.0.2.1", "ann", 6);
    assert_eq!(gate.check("192.0.2.1", "ann"), Err(RetryAfter(2 * SECOND)));
    gate.clock.advance(8 * 24 * 60 * MINUTE);
    for number in 0..60 {
        gate.fail("192.0.2.1", &format!("user{number}"), 1);
    }
    assert!(gate.check("192.0.2.1", "ann").is_err());
}

#[test]
fn success_resets_the_account_here() {
    let gate = gate();
    gate.fail("192.0.2.1", "ann", 5);
    gate.succeed("192.0.2.1", "ann");
    gate.fail("192.0.2.1", "ann", 5);
    assert_eq!(gate.check("192.0.2.1", "ann"), FREE);
}

#[test]
fn an_account_of_ones_own_does_not_reset_the_network() {
    let gate = gate();
    for number in 0..60 {
        gate.fail("192.0.2.1", &format!("user{number}"), 1);
        gate.succeed("192.0.2.1", "mallory");
    }
    assert!(gate.check("192.0.2.1", "ann").is_err());
}

#[test]
fn failures_are_forgiven_in_time() {
    let gate = gate();
    gate.fail("192.0.2.1", "ann", 5);
    gate.clock.advance(10 * MINUTE);
    gate.fail("192.0.2.1", "ann", 1);
    assert_eq!(gate.check("192.0.2.1", "ann"), FREE);
    gate.fail("192.0.2.1", "ann", 1);
    assert!(gate.check("192.0.2.1", "ann").is_err());
    gate.clock.advance(24 * 60 * MINUTE);
    gate.fail("192.0.2.1", "ann", 5);
    assert_eq!(gate.check("192.0.2.1", "ann"), FREE);
}

#[test]
fn memory_is_bounded() {
    let clock = Arc::new(TestClock::new(UtcMillis(0)));
    let rate = LoginRate::with_entries(LoginLimits::default(), clock, 1_000);
    let rng = SeededRng::new(1);
    for _ in 0..20_000 {
        let mut octets = [0; 16];
        rng.fill(&mut octets);
        let origin = Origin {
            ip: IpAddr::from(octets),
            protocol: Protocol::Smtp,
            tls: false,
        };
        rate.failed(&origin, Some(&format!("user{}", rng.next_u64())));
        let _ = rate.begin_code(AccountId::new(rng.next_u64()));
    }
    let tables = rate.tables.lock();
    let lens = [
        tables.pairs.len(),
        tables.networks.len(),
        tables.accounts.len(),
        tables.codes.len(),
    ];
    assert!(lens.iter().all(|len| *len <= 1_000), "{lens:?}");
}

#[test]
fn extreme_limits_do_not_overflow() {
    let rows = [
        (0, Duration::ZERO, Duration::ZERO, Duration::ZERO),
        (u32::MAX, Duration::MAX, Duration::MAX, Duration::MAX),
        (0, Duration::from_nanos(1), Duration::MAX, Duration::MAX),
        (3, Duration::MAX, Duration::ZERO, Duration::MAX),
    ];
    for (free, forgive_every, first, longest) in rows {
        let limit = Limit {
            free,
            forgive_every,
            first,
            longest,
        };
        let limits = LoginLimits {
            pair: limit,
            network: limit,
            site: limit,
            account: limit,
            code: limit,
            known_for: longest,
        };
        let clock = Arc::new(TestClock::new(UtcMillis(0)));
        let rate = LoginRate::new(limits, clock.clone());
        let origin = from("192.0.2.1");
        for _ in 0..100 {
            rate.failed(&origin, Some("ann"));
            let _ = rate.check(&origin, Some("ann"));
            rate.succeeded(&origin, Some("bob"));
            let _ = rate.begin_code(ANN);
            rate.give_code_back(ANN);
            let _ = rate.begin_code(ANN);
            clock.advance(SECOND);
        }
    }
}

/// Requests of one client at the same time: what one of them notes must not refuse the others.
#[test]
fn logins_that_succeed_at_once_do_not_refuse_each_other() {
    let rate = LoginRate::new(LoginLimits::default(), Arc::new(crate::clock::SystemClock));
    let origin = from("192.0.2.1");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    assert_eq!(rate.check(&origin, Some("ann")), Ok(Duration::ZERO));
                    rate.succeeded(&origin, Some("ann"));
                }
            });
        }
    });
}

#[test]
fn wrong_codes_count_wherever_they_come_from() {
    let Gate { rate, clock } = gate();
    for _ in 0..10 {
        assert_eq!(rate.begin_code(ANN), Ok(()));
    }
    // A right one now and then gives itself back, and no other.
    assert_eq!(rate.begin_code(ANN), Ok(()));
    rate.give_code_back(ANN);
    for minutes in [1, 2, 4, 8, 8] {
        assert_eq!(rate.begin_code(ANN), Ok(()));
        let wait = MINUTE * minutes;
        assert_eq!(rate.begin_code(ANN), Err(RetryAfter(wait)));
        assert_eq!(rate.begin_code(AccountId::new(2)), Ok(()));
        // The password has nothing to say about that.
        rate.succeeded(&from("192.0.2.1"), Some("ann"));
        assert!(rate.begin_code(ANN).is_err());
        clock.advance(wait);
        assert_eq!(rate.begin_code(ANN), Ok(()), "{minutes}");
        rate.give_code_back(ANN);
    }
    // One is forgiven every ten minutes.
    clock.advance(MINUTE * 10 * 16);
    for _ in 0..11 {
        assert_eq!(rate.begin_code(ANN), Ok(()));
    }
    assert!(rate.begin_code(ANN).is_err());
}
