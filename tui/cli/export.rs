//! `export [FILE]`: all keys with their values, as lines that `import` takes.
//!
//! Called by `main`. One page is in memory at a time. What is written is each key as it was at some
//! time during the export: not a picture of one moment.

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

use protocol::client::{Client, Scan};
use protocol::reply::Item;
use protocol::request::SCAN_ITEMS_MAX;
use tui::text::plural;

use crate::args::ExportArgs;
use crate::print::{self, Exit, Failure};
use crate::records::{self, Format};

/// `piazza export [FILE]`.
pub(crate) fn run(args: ExportArgs) -> ExitCode {
    print::with_client(&args.common, async |client: Client| {
        let format = if args.csv { Format::Csv } else { Format::Json };
        let scan = client.scan("").limit(SCAN_ITEMS_MAX).with_values();
        let Some(path) = &args.file else {
            export(scan, format, print::lines).await?;
            return Ok(Exit::Done);
        };
        let cannot = |error| Failure::usage(format!("cannot write {}: {error}", path.display()));
        let mut file = File::create(path).map_err(cannot)?;
        let done = export(scan, format, |lines| file.write_all(lines).map_err(cannot)).await?;
        // The disk may still be found to be full.
        file.sync_all().map_err(cannot)?;
        let line = if args.common.json {
            format!("{{\"exported\":{done}}}\n")
        } else {
            format!("exported {done} {}\n", plural(done, "key"))
        };
        print::output(line.as_bytes())?;
        Ok(Exit::Done)
    })
}

/// Hands page after page to `write`; how many keys there were.
async fn export(
    mut scan: Scan,
    format: Format,
    mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let mut done = 0;
    while let Some(page) = scan.next().await? {
        let mut lines = Vec::new();
        for item in &page.items {
            write_record(&mut lines, item, format)?;
            done += 1;
        }
        write(&lines)?;
    }
    Ok(done)
}

fn write_record(out: &mut Vec<u8>, item: &Item, format: Format) -> Result<(), Failure> {
    let Some(value) = &item.value else {
        let sentence = "the server sent a key without its value: is it a Piazza cluster?";
        return Err(Failure::new(Exit::Other, "protocol", sentence));
    };
    records::write(out, format, item.key.as_str(), value.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Records;
    use protocol::ids::Key;
    use protocol::limits::Limits;

    #[test]
    fn what_is_exported_can_be_imported() {
        let records: [(&str, &[u8]); 8] = [
            ("\u{feff}a", b"\xef\xbb\xbfb"),
            ("a,b", b"c,d"),
            ("say \"a\"", b"\"\""),
            ("one\ntwo", b"three\r\nfour\r"),
            (" ", b""),
            ("\0\u{7f}", b"\0\xff\xfe"),
            ("{\"key\":1}", b"\\"),
            ("\u{e9}", b"plain"),
        ];
        for format in [Format::Json, Format::Csv] {
            let mut text = Vec::new();
            for (key, value) in records {
                let item = Item {
                    key: Key::new(key).unwrap(),
                    version: "1.1".parse().unwrap(),
                    bytes: value.len() as u64,
                    value: Some(value.to_vec().into()),
                };
                write_record(&mut text, &item, format).unwrap();
            }
            let read: Vec<(String, Vec<u8>)> = Records::new(&text[..], format, Limits::default())
                .map(|record| {
                    let record = record.unwrap();
                    (record.key.as_str().to_owned(), record.value)
                })
                .collect();
            let expected: Vec<_> =
                records.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
            assert_eq!(read, expected, "{format:?}");
        }
    }
}
