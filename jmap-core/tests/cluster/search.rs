//! Random steps: whatever becomes of nodes and the object store, every node finds exactly what was acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jmap_types::{
    mail::Email,
    method::{Get, Set},
};
use serde_json::json;
use store::{
    blob::s3_server::{S3Fault, S3Server},
    engine::SplitMix64,
};

use crate::{
    random::{SaySeed, runs},
    shards::find,
    world::{ADDRESS, World, message, text},
};

const STEPS: usize = 80;
const WORDS: &[&str] = &["marmalade", "cuckooflower", "kestrel", "bicycle"];
const FAULTS: &[S3Fault] = &[
    S3Fault::Down,
    S3Fault::Failing,
    S3Fault::Truncating,
    S3Fault::WrongOctets,
    S3Fault::LosingAnswers,
];
const NODES_MAX: usize = 4;

struct Run {
    world: World,
    server: S3Server,
    dice: SplitMix64,
    /// What was acknowledged: the words of each email, by its id.
    emails: BTreeMap<String, BTreeSet<&'static str>>,
    made: usize,
}

impl Run {
    fn below(&mut self, end: usize) -> usize {
        self.dice.below(end as u64) as usize
    }

    fn node(&mut self) -> usize {
        self.below(self.world.nodes.len())
    }

    async fn step(&mut self) {
        match self.below(20) {
            0..6 => self.deliver().await,
            6..8 => self.destroy().await,
            8..13 => self.tend().await,
            13..16 => self.search().await,
            16 => {
                let fault = self.below(FAULTS.len() * 2);
                self.server
                    .set(FAULTS.get(fault).copied().unwrap_or_default());
            }
            17 => self.kill().await,
            18 if !self.is_lying() => {
                let node = self.node();
                self.world.restart(node).await;
            }
            _ => self.add().await,
        }
    }

    async fn deliver(&mut self) {
        let mut words = BTreeSet::new();
        for _ in 0..=self.below(2) {
            words.insert(WORDS[self.below(WORDS.len())]);
        }
        self.made += 1;
        let body: Vec<&str> = words.iter().copied().collect();
        let octets = message(&format!("{}@x", self.made), &body.join(" "));
        let node = self.node();
        let recipients = vec![self.world.recipient(ADDRESS)];
        self.world.nodes[node].deliver(recipients, octets).await;
        // It has the only id that isn't known yet.
        let got = self.all(node).await;
        let new: Vec<&String> = got
            .iter()
            .filter(|id| !self.emails.contains_key(*id))
            .collect();
        assert_eq!(new.len(), 1, "{got:?}");
        self.emails.insert(new[0].clone(), words);
    }

    async fn all(&self, node: usize) -> Vec<String> {
        self.world.nodes[node]
            .core
            .poll_once()
            .await
            .expect("no poll");
        let got = self.world.nodes[node]
            .call::<Get<Email>>(&self.world, json!({"ids": null, "properties": ["id"]}))
            .await;
        let list = got["list"].as_array().expect("no list");
        list.iter().map(|email| text(&email["id"])).collect()
    }

    async fn destroy(&mut self) {
        let at = self.below(self.emails.len().max(1));
        let Some(id) = self.emails.keys().nth(at).cloned() else {
            return;
        };
        let node = self.node();
        let done = self.world.nodes[node]
            .call::<Set<Email>>(&self.world, json!({"destroy": [id]}))
            .await;
        assert_eq!(done["destroyed"], json!([id]), "{done}");
        self.emails.remove(&id);
    }

    /// Some node does what it has to do, as far as it can.
    async fn tend(&mut self) {
        let node = self.node();
        if self.below(2) == 0 {
            self.world.beat().await;
        }
        let core = &self.world.nodes[node].core;
        if self.dice.below(3) == 0 {
            let _ = core.index_now().await;
        }
        let _ = core.tend_search().await;
    }

    async fn search(&mut self) {
        let word = WORDS[self.below(WORDS.len())];
        for node in 0..self.world.nodes.len() {
            self.check(node, word).await;
        }
    }

    async fn check(&self, node: usize, word: &'static str) {
        let found: BTreeSet<String> = find(&self.world, node, word).await.into_iter().collect();
        let expected = self.emails.iter().filter(|(_, words)| words.contains(word));
        let expected: BTreeSet<String> = expected.map(|(id, _)| id.clone()).collect();
        assert_eq!(
            found, expected,
            "node {node} finds other emails with {word}"
        );
    }

    async fn kill(&mut self) {
        if self.world.nodes.len() > 1 {
            let node = self.node();
            self.world.nodes.remove(node).link.cut();
        }
        if self.below(2) == 0 {
            self.time_passes().await;
        }
    }

    async fn time_passes(&self) {
        let cluster = self.world.nodes[0].core.cluster().expect("no cluster");
        for _ in 0..4 {
            self.world.clock.advance(cluster.dead_after() / 3);
            self.world.beat().await;
        }
    }

    async fn add(&mut self) {
        if self.world.nodes.len() < NODES_MAX && !self.is_lying() {
            self.world.add_node().await;
        }
    }

    /// Whether the object store says things that aren't so: with those a node doesn't start.
    fn is_lying(&self) -> bool {
        matches!(self.server.fault(), S3Fault::WrongOctets)
    }

    async fn end(mut self) {
        self.server.set(S3Fault::None);
        self.time_passes().await;
        for _ in 0..4 {
            for node in &self.world.nodes {
                // What was damaged on its way is complained of, and answered by the next turn.
                let _ = node.core.tend_search().await;
            }
        }
        for node in 0..self.world.nodes.len() {
            let tended = self.world.nodes[node].core.tend_search().await;
            tended.expect("a node can't do its work");
            for word in WORDS {
                self.check(node, word).await;
            }
            let report = self.world.nodes[node]
                .core
                .check(Default::default(), &|_| ())
                .await;
            assert_eq!(report.expect("no check").problems, []);
        }
        let counts = self
            .world
            .nodes
            .iter()
            .filter_map(|node| node.core.search_shards());
        assert_eq!(counts.map(|of| of.building).sum::<usize>(), 2);
        // From nothing but what is published.
        let all: u64 = self
            .world
            .nodes
            .iter()
            .map(|node| node.core.search_documents())
            .sum();
        assert!(all > 0 || self.emails.is_empty() || self.made == 0);
        self.world.add_node().await;
        self.world.beat().await;
        let last = self.world.nodes.len() - 1;
        let tended = self.world.nodes[last].core.tend_search().await;
        tended.expect("a new node can't do its work");
        for word in WORDS {
            self.check(last, word).await;
        }
    }
}

#[tokio::test]
async fn every_node_finds_exactly_what_was_acknowledged() {
    for seed in runs() {
        let _say = SaySeed(seed);
        let server = S3Server::start();
        let objects = server.settings(Duration::from_millis(300), "");
        let world = World::with_objects(seed, 2, None, Some(objects), 2).await;
        let mut run = Run {
            world,
            server,
            dice: SplitMix64(seed),
            emails: BTreeMap::new(),
            made: 0,
        };
        for _ in 0..STEPS {
            run.step().await;
        }
        run.end().await;
    }
}
