//! The language: what is right is read, what is wrong is told with its place and what was meant.

use super::parse;
use super::script::{Load, ShopPlan, Verb};

const HEAD: &str = "title \"T\"\nabout \"A\"\ntakes 60s\ncluster 5 replicas=2\n";

/// What is wrong with these lines behind the usual head, as `LINE:COLUMN: message`.
fn wrong(lines: &str) -> Vec<String> {
    let lines = format!("{HEAD}expect nodes.up = 5\n{lines}");
    match parse("test", &lines) {
        Ok(script) => panic!("it is right: {script:?}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn right(lines: &str) -> Vec<Verb> {
    let text = format!("{HEAD}{lines}\nexpect nodes.up = 5\n");
    let script = parse("test", &text).unwrap_or_else(|problems| panic!("{problems:?}"));
    script.steps.into_iter().map(|step| step.verb).collect()
}

#[test]
fn every_verb_is_read() {
    let verbs = right(
        "load 200/s keys=100 zipf=1.1 reads=50% clients=8 # asks\n\
         view 2pc ; select n3 ; press K y\n\
         type \"put a b\" ; run \"get a\"\n\
         do kill n3 ; do start coordinator\n\
         do evict n2 ; do remove n1 ; do add\n\
         preview add\n\
         caption \"{nodes.up} of {cluster.nodes} nodes, n3 too; # is no comment\"\n\
         pause 500ms\n\
         mark \"a place\"\n\
         wait node.n3.state = down and keys.total >= 10 within 3s\n\
         wait cluster.well\n\
         keep before ops.per_s\n\
         expect ops.per_s > 0.5 x kept.before and prompt.answer contains \"two words\"\n\
         shot one\n\
         load stop\n\
         shop 200/s shoppers=8 articles=4 stock=50\n\
         wait shop.state = \"adds up\" and shop.wrong = 0 ; shop close",
    );
    let load = Load { rate: Some(200), keys: 100, reads: 50, zipf: 1.1, clients: 8, seed: 42 };
    assert_eq!(verbs[0], Verb::Load(load));
    let shop = ShopPlan { rate: Some(200), shoppers: 8, articles: 4, stock: 50, seed: 42 };
    assert_eq!(verbs[verbs.len() - 4], Verb::Shop(shop));
    assert_eq!(verbs.len(), 25);
    assert!(
        matches!(verbs[15], Verb::Wait(_, 3_000)) && matches!(verbs[16], Verb::Wait(_, 10_000))
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_was_meant() {
    for (line, told) in [
        ("prss K", "6:1: unknown verb \"prss\": did you mean \"press\"?"),
        ("  pause 2", "6:9: \"2\" is no time"),
        ("caption hello", "6:9: put quotes around it: \"hello ...\""),
        ("caption \"no end", "6:9: the text does not end"),
        ("caption \"five are 5 nodes\"", "6:19: a figure in a caption is taken from"),
        ("caption \"n3 is 20 % of it\"", "6:16: a figure in a caption"),
        (
            "caption \"at {nodes.upp} nodes\"",
            "6:14: there is no path \"nodes.upp\": did you mean \"nodes.up\"?",
        ),
        ("caption \"{nodes.up nodes\"", "6:10: the brace is not closed"),
        ("caption \"nodes} up\"", "6:15: a brace is closed"),
        ("wait node.n9.state = up", "6:1: there is no server \"n9\" by then: n1 to n5"),
        ("wait node.n3.stat = up", "did you mean \"node.n3.state\"?"),
        ("wait nodes.up ~ 5", "6:15: \"~\" compares nothing: did you mean"),
        ("wait nodes.up", "6:6: nodes.up needs a comparison: = and a number, as 5"),
        ("wait nodes.up=5", "6:6: put blanks around the comparison: nodes.up = ..."),
        (
            "wait nodes.up = five",
            "6:17: nodes.up is compared with a number, as 5, not with \"five\"",
        ),
        ("wait ring.balance > 1 and", "6:23: something to look at is missing behind \"and\""),
        ("wait nodes.up = 5 within", "6:19: within needs a time"),
        ("wait node.n1.share = 0.2", "a part in per cent, as 20%"),
        ("wait incident.lasted < 5", "a time, as 200ms or 2s"),
        ("wait node.n1.state > up", "6:20: node.n1.state has no order"),
        ("wait ops.putt.ok = 1", "nothing is called \"putt\": did you mean \"put\"?"),
        ("wait incident.until.dwn < 5s", "did you mean \"down\"?"),
        ("expect ops.per_s > kept.before", "6:20: nothing is kept before this line"),
        ("keep a nodes.up ; expect ops.per_s > kept.a", "cannot be compared"),
        ("view rings", "6:6: there is no view \"rings\": did you mean \"ring\"?"),
        ("press Entr", "6:7: there is no key \"Entr\": did you mean \"Enter\"?"),
        ("press q", "6:7: q would end the console"),
        ("select n6", "6:1: there is no server \"n6\" by then"),
        ("do kil n3", "6:4: nothing is called \"kil\": did you mean \"kill\"?"),
        ("do kill", "6:4: kill needs a server"),
        ("do inject n2 refuse_prepare", "6:1: faults can be ordered in a lab only"),
        ("do inject n2 refuse_prepares", "did you mean \"refuse_prepare\"?"),
        ("do inject n2 stop_after", "6:14: write stop_after=vote"),
        ("load 200/s kyes=4", "6:12: a load has no \"kyes\": did you mean \"keys\"?"),
        ("shop shopers=4", "6:6: a shop has no \"shopers\": did you mean \"shoppers\"?"),
        ("shop shoppers=0", "shoppers must be a number from 1 to 256"),
        ("shop 9/s ; shop 9/s", "6:12: a demo opens one shop at most"),
        ("shop close", "6:1: no shop was opened by then"),
        ("wait shop.orders > 9", "6:1: shop.orders: no shop was opened by then"),
        ("load reads=half", "reads, as reads=80%, must be a number from 0 to 100"),
        ("shot one ; shot one", "6:12: there is another shot \"one\""),
        ("title \"again\"", "6:1: title is there twice"),
        ("pause 100s", "1:1: its captions and pauses alone take 100 s"),
        ("\"quoted\"", "6:1: a line begins with a verb"),
    ] {
        let all = wrong(line);
        assert!(all.iter().any(|one| one.contains(told)), "{line}\n  wanted {told}\n  got {all:?}");
        assert!(all.len() <= 2, "{line}: {all:?}");
    }
}

#[test]
fn every_line_that_is_wrong_is_told_of() {
    let all = wrong("prss K\nview rings\npause 1h\n");
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0].starts_with("6:1:") && all[2].starts_with("8:7:"), "{all:?}");
}

#[test]
fn the_head_must_be_whole() {
    for (text, told) in [
        ("", "1:1: the demo lacks title"),
        ("title \"T\"\nabout \"A\"\ntakes 5s\ncluster 3\n", "the demo lacks a step"),
        ("title \"T\"\nabout \"A\"\ntakes 5s\ncluster 3\nmark \"x\"\n", "nothing is expected"),
        ("cluster 99\n", "1:9: \"99\" is no number of nodes"),
        ("cluster 3 replica=2\n", "1:11: a cluster has no \"replica\": did you mean \"replicas\"?"),
        ("cluster 3 heartbeat=fast\n", "1:21: \"fast\" is no time"),
        ("takes 10000s\n", "is no time up to 120 s"),
    ] {
        let problems = parse("test", text).unwrap_err();
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(all.iter().any(|one| one.contains(told)), "{text:?}: {all:?}");
    }
}

/// Pieces of scripts, glued anyhow: nothing panics, and every mistake has a place in the text.
#[test]
fn any_text_is_read_or_told_of() {
    const PIECES: &[&str] = &[
        "title ",
        "\"T\"",
        "\n",
        "takes 60s\n",
        "cluster 5",
        " lab",
        "caption ",
        "\"",
        "{",
        "}",
        "nodes.up",
        " = ",
        "5",
        " and ",
        "within ",
        "3s",
        ";",
        "#",
        "wait ",
        "expect ",
        "press ",
        "K",
        "é漢",
        "do inject n2 ",
        "stop_after=",
        "x3",
        "load ",
        "200/s ",
        "keys=",
        "kept.a",
        "keep a ",
        "2 x ",
        ".",
        "node..state",
        "\u{1b}",
        "\t",
        "\r\n",
        "18446744073709551616",
        "shot ",
        "preview ",
        "evict",
        " n1",
        "type ",
        "0",
        "-",
        "=",
        "txn.a.b.outcome",
    ];
    let mut seed = 7_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for round in 0..4_000 {
        let mut text = String::new();
        if round % 2 == 0 {
            text.push_str(HEAD);
        }
        for _ in 0..next() % 24 {
            text.push_str(PIECES[next() % PIECES.len()]);
        }
        let Err(problems) = parse("any", &text) else { continue };
        assert!(!problems.is_empty(), "{text:?}");
        for problem in problems {
            let line = text.lines().nth(problem.place.line - 1).unwrap_or_default();
            let columns = line.chars().count() + 1;
            assert!((1..=columns).contains(&problem.place.column), "{problem} in {text:?}");
            assert!(!problem.message.is_empty());
        }
    }
    assert!(parse("long", &"#".repeat(1 << 20)).is_err());
}
