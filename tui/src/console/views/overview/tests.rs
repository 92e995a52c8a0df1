use crate::console::testing::{frame, played};

#[test]
fn pictures() {
    let Ok(shows) = std::env::var("SHOWS") else { return };
    for show in shows.split(',') {
        let parts: Vec<&str> = show.split(':').collect();
        let (name, at) = parts[0].split_once('@').unwrap();
        let mut console = played(name, at.parse().unwrap());
        let (w, h) = parts[2].split_once('x').unwrap();
        let (w, h) = (w.parse().unwrap(), h.parse().unwrap());
        console.size = (w, h);
        if parts[1] == "ring" { console.act_now(crate::console::action::Action::Go(crate::console::action::ViewName::Ring)); }
        if let Some(keys) = parts.get(3) { crate::console::testing::press(&mut console, keys); }
        println!("=== {show}\n{}", frame(&console, w, h));
    }
}
