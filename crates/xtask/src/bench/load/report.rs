//! The load generator's report (`--json`), as far as a table needs it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Looks;

/// What the generator calls an answer that asks it to come back later.
pub(super) const BUSY: &str = "busy";

/// What the generator reported, and what was seen of the machine meanwhile.
pub(crate) struct Report {
    json: Value,
    busy: Looks<Duration>,
}

/// What a load cost while it counted, in cores: 1.0 is one core all the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    server: f64,
    generator: f64,
    /// Whoever else ran, and what the kernel did in nobody's name.
    others: f64,
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cores { server, generator, others } = self;
        write!(f, "cores: server {server:.2}, generator {generator:.2}, all else {others:.2}")
    }
}

/// Processes that were watched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    /// The servers.
    Servers,
    /// The generator's workers.
    Generators,
}

/// A moment of a run with streams.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// Before the first stream was opened.
    Before,
    /// Within a second after the last one was.
    Opened,
    /// At the end of the time that counts.
    End,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Resident.
    pub(crate) resident: u64,
    /// Of it written to and not shared.
    pub(crate) private: u64,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// When there is none, or it is no JSON.
    pub(super) fn read(file: &Path, busy: Looks<Duration>) -> Result<Report> {
        let text = std::fs::read_to_string(file).context("the load generator wrote no report")?;
        let json = serde_json::from_str(&text).context("the load generator's report is no JSON")?;
        Ok(Report { json, busy })
    }

    /// Whether the load was made as it was asked for, whole and without an error but of these kinds.
    ///
    /// # Errors
    /// What went wrong, in the generator's words.
    pub(super) fn ensure_clean(&self, but: &[&str]) -> Result<()> {
        let errors = self.json.pointer("/all/errors").and_then(Value::as_object);
        let errors = errors.context("the report has no errors, not even none")?;
        if let Some((kind, failures)) = errors.iter().find(|(kind, _)| !but.contains(&kind.as_str())) {
            anyhow::bail!(
                "the load met errors: {} {kind}, the first one: {}",
                failures["count"],
                failures["first"]
            );
        }
        ensure!(self.json["interrupted"] == false, "the load was interrupted");
        Ok(())
    }

    /// Requests that were answered 503 or 429 from the start to the end, and sent again.
    pub(crate) fn answered_busy(&self) -> u64 {
        self.json["all"]["errors"][BUSY]["count"].as_u64().unwrap_or(0)
    }

    /// How often something happened in the time that counts.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        self.count("run", name)
    }

    /// That as many messages were acknowledged as were due, and as many came as were owed to receivers. For
    /// a run whose streams were open from its beginning.
    ///
    /// # Errors
    /// When some are missing, or there are too many.
    pub(crate) fn ensure_delivered(&self) -> Result<()> {
        let count = |name| self.count("all", name);
        let (due, acknowledged) = (count("messages_due"), count("messages_acknowledged"));
        let (owed, arrived) = (count("deliveries_owed"), count("messages_arrived"));
        ensure!(due == acknowledged, "of {due} messages {acknowledged} were acknowledged");
        ensure!(owed == arrived, "of {owed} deliveries there were {arrived}");
        Ok(())
    }

    /// What did not happen is not in the report.
    fn count(&self, part: &str, name: &str) -> u64 {
        self.json[part]["counts"][name].as_u64().unwrap_or(0)
    }

    /// How often something was timed.
    ///
    /// # Errors
    /// When it never was.
    pub(crate) fn timed(&self, name: &str) -> Result<u64> {
        self.timing(name)?["count"].as_u64().with_context(|| format!("{name} has no count"))
    }

    /// Percentiles of something that was timed: `0.74 / 2.55 / 9.91 ms` for `["p50", "p99", "p999"]`; `max` is one too.
    ///
    /// # Errors
    /// When it was never timed.
    pub(crate) fn quantiles(&self, name: &str, quantiles: &[&str]) -> Result<String> {
        let timing = self.timing(name)?;
        let mut parts = Vec::new();
        for quantile in quantiles {
            let us = timing[format!("{quantile}_us")].as_u64();
            let us = us.with_context(|| format!("{name} has no {quantile}"))?;
            parts.push(format!("{:.2}", us as f64 / 1e3));
        }
        Ok(format!("{} ms", parts.join(" / ")))
    }

    fn timing(&self, name: &str) -> Result<&Value> {
        let timings = self.json.pointer("/run/timings").and_then(Value::as_array);
        let found = timings.and_then(|timings| timings.iter().find(|timing| timing["name"] == name));
        found.with_context(|| format!("the load generator timed no {name}"))
    }

    /// How long the load counted.
    ///
    /// # Errors
    /// When the run did not come that far.
    pub(crate) fn seconds(&self) -> Result<f64> {
        self.phase("run").map(|(_, seconds)| seconds)
    }

    /// The time from the last answer until all was where it belongs.
    ///
    /// # Errors
    /// When the run did not come that far.
    pub(crate) fn settled_ms(&self) -> Result<u64> {
        self.phase("settle").map(|(_, seconds)| (seconds * 1e3).ceil() as u64)
    }

    /// The begin of the time that counts, in seconds from the start.
    ///
    /// # Errors
    /// When the run did not come that far.
    pub(crate) fn begin_s(&self) -> Result<f64> {
        self.phase("run").map(|(at_s, _)| at_s)
    }

    /// The end of the time that counts, in seconds from the start.
    ///
    /// # Errors
    /// When the run did not come that far.
    pub(crate) fn end_s(&self) -> Result<f64> {
        self.phase("run").map(|(at_s, seconds)| at_s + seconds)
    }

    /// Begin and length of a phase, in seconds.
    fn phase(&self, name: &str) -> Result<(f64, f64)> {
        let phases = self.json["phases"].as_array();
        let phase = phases.and_then(|phases| phases.iter().find(|phase| phase["phase"] == name));
        let phase = phase.with_context(|| format!("the load had no phase {name}"))?;
        let at_and_length = phase["at_s"].as_f64().zip(phase["seconds"].as_f64());
        at_and_length.with_context(|| format!("the phase {name} has no times"))
    }

    /// What server, generator and all else took of the processors in the time that counts.
    ///
    /// # Errors
    /// When one of them could not be seen.
    pub(crate) fn cores(&self) -> Result<Cores> {
        let of = |name: &str| {
            let cores = self.json["cpu"][name].as_f64();
            cores.with_context(|| format!("the load generator does not know {name}"))
        };
        let (server, generator) = (of("server_cores")?, of("generator_cores")?);
        let (from_s, seconds) = self.phase("run")?;
        let looks =
            self.busy.ends(from_s, from_s + seconds).context("too short to look at the machine twice")?;
        let [(from_s, before), (until_s, after)] = looks;
        let machine = after.saturating_sub(*before).as_secs_f64() / (until_s - from_s);
        // Looks at different moments and ticks of 10 ms may make the parts larger than the whole.
        Ok(Cores { server, generator, others: (machine - server - generator).max(0.0) })
    }

    /// By how much the memory of all these processes together grew since before the first stream.
    ///
    /// # Errors
    /// When one of them was not seen then, or does not say what is private.
    pub(crate) fn grown(&self, whose: Whose, when: When) -> Result<Memory> {
        let (before, after) = (self.memory(whose, When::Before)?, self.memory(whose, when)?);
        Ok(Memory {
            resident: after.resident.saturating_sub(before.resident),
            private: after.private.saturating_sub(before.private),
        })
    }

    fn memory(&self, whose: Whose, when: When) -> Result<Memory> {
        let name = match whose {
            Whose::Servers => "servers",
            Whose::Generators => "generators",
        };
        let watched = self.json[name].as_array().filter(|watched| !watched.is_empty());
        let mut sum = Memory { resident: 0, private: 0 };
        for process in watched.with_context(|| format!("no {name} were watched"))? {
            let samples = process["samples"].as_array().map_or(&[][..], Vec::as_slice);
            let sample = self.sample(samples, when)?;
            let sample = sample.with_context(|| format!("{} was not seen {when:?}", process["name"]))?;
            let bytes =
                |name: &str| sample[name].as_u64().with_context(|| format!("a sample without {name}"));
            sum.resident += bytes("resident_bytes")?;
            sum.private += bytes("private_bytes")?;
        }
        Ok(sum)
    }

    fn sample<'v>(&self, samples: &'v [Value], when: When) -> Result<Option<&'v Value>> {
        let at = |sample: &Value| sample["at_s"].as_f64().unwrap_or(f64::NAN);
        let (opening_s, run_s, end_s) = (self.phase("open")?.0, self.phase("run")?.0, self.end_s()?);
        Ok(match when {
            When::Before => samples.iter().rfind(|sample| at(sample) <= opening_s),
            When::Opened => samples.iter().find(|sample| (run_s..=end_s).contains(&at(sample))),
            When::End => samples.iter().rfind(|sample| (run_s..=end_s).contains(&at(sample))),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(at_s: f64, resident: u64) -> Value {
        json!({"at_s": at_s, "resident_bytes": resident, "private_bytes": resident - 100, "cpu_s": 1.0})
    }

    /// Streams opened from second 1 to 4, load to 14, a server and two workers.
    fn report() -> Report {
        let mut busy = Looks::default();
        (0..16u32).for_each(|at| busy.push(f64::from(at) + 0.5, Duration::from_millis(1500) * at));
        let samples = |each: u64| -> Value {
            (0..16u32).map(|at| sample(f64::from(at), 1000 + each * u64::from(at))).collect()
        };
        let phase =
            |name: &str, at_s: f64, seconds: f64| json!({"phase": name, "at_s": at_s, "seconds": seconds});
        let timing = json!({"name": "arrived", "count": 20, "p50_us": 704, "p99_us": 2421, "p999_us": 11_743, "max_us": 16_991});
        let counts = json!({"messages_due": 20, "messages_acknowledged": 20, "deliveries_owed": 20, "messages_arrived": 20});
        let json = json!({
            "interrupted": false,
            "phases": [phase("setup", 0.0, 1.0), phase("open", 1.0, 3.0), phase("run", 4.0, 10.0), phase("settle", 14.0, 0.1921)],
            "run": {"seconds": 10.0, "counts": {"messages_acknowledged": 20}, "errors": {}, "timings": [timing]},
            "all": {"seconds": 14.2, "counts": counts, "errors": {}, "timings": []},
            "servers": [{"name": "pid 1", "samples": samples(10)}],
            "generators": [{"name": "pid 2", "samples": samples(1)}, {"name": "pid 3", "samples": samples(2)}],
            "cpu": {"server_cores": 1.0, "generator_cores": 0.2},
        });
        Report { json, busy }
    }

    #[test]
    fn what_neither_server_nor_generator_used_is_of_others() {
        let mut report = report();
        let cores = |report: &Report| report.cores().unwrap().to_string();
        assert_eq!(cores(&report), "cores: server 1.00, generator 0.20, all else 0.30");
        report.json["cpu"]["server_cores"] = json!(1.4);
        assert_eq!(cores(&report), "cores: server 1.40, generator 0.20, all else 0.00");
        report.json["cpu"] = Value::Null;
        assert!(report.cores().is_err());
    }

    #[test]
    fn quantiles_are_in_milliseconds() {
        let report = report();
        let all = report.quantiles("arrived", &["p50", "p99", "p999", "max"]).unwrap();
        assert_eq!(all, "0.70 / 2.42 / 11.74 / 16.99 ms");
        assert_eq!(report.timed("arrived").unwrap(), 20);
        assert!(report.quantiles("arrived", &["p51"]).is_err());
        assert!(report.quantiles("sent_late", &["p50"]).is_err());
    }

    #[test]
    fn growth_is_of_all_processes_from_before_the_first_stream() {
        let report = report();
        let grown = |whose, when| report.grown(whose, when).unwrap();
        assert_eq!(grown(Whose::Servers, When::Opened), Memory { resident: 30, private: 30 });
        assert_eq!(grown(Whose::Servers, When::End), Memory { resident: 130, private: 130 });
        assert_eq!(grown(Whose::Generators, When::End), Memory { resident: 39, private: 39 });
    }

    #[test]
    fn a_process_that_was_not_seen_in_time_has_no_growth() {
        let mut late = report();
        late.json["generators"][1]["samples"] = json!([sample(1.5, 1000), sample(5.0, 1000)]);
        let error = late.grown(Whose::Generators, When::End).unwrap_err();
        assert_eq!(error.to_string(), "\"pid 3\" was not seen Before");
        late.json["servers"] = json!([]);
        assert!(late.grown(Whose::Servers, When::End).is_err());
    }

    #[test]
    fn a_load_with_an_error_has_no_figures() {
        let mut report = report();
        report.ensure_clean(&[]).unwrap();
        report.json["all"]["errors"] = json!({"refused": {"count": 3, "first": "401: bad token"}});
        let error = report.ensure_clean(&[BUSY]).unwrap_err().to_string();
        assert!(error.contains("3 refused") && error.contains("401: bad token"), "{error}");
        report.json["all"] = Value::Null;
        assert!(report.ensure_clean(&[]).is_err());
    }

    #[test]
    fn a_load_that_was_asked_to_wait_is_clean_only_where_that_is_told() {
        let mut report = report();
        assert_eq!(report.answered_busy(), 0);
        report.json["all"]["errors"] = json!({"busy": {"count": 7, "first": "503"}});
        assert!(report.ensure_clean(&[]).is_err());
        report.ensure_clean(&[BUSY]).unwrap();
        assert_eq!(report.answered_busy(), 7);
    }

    #[test]
    fn a_message_that_is_missing_or_doubled_shows() {
        let mut report = report();
        report.ensure_delivered().unwrap();
        for arrived in [19, 21] {
            report.json["all"]["counts"]["messages_arrived"] = json!(arrived);
            assert!(report.ensure_delivered().is_err(), "{arrived}");
        }
    }

    #[test]
    fn phases_have_their_times() {
        let report = report();
        assert_eq!(report.seconds().unwrap(), 10.0);
        assert_eq!([report.begin_s().unwrap(), report.end_s().unwrap()], [4.0, 14.0]);
        assert_eq!(report.settled_ms().unwrap(), 193);
        assert_eq!((report.counted("messages_acknowledged"), report.counted("gaps")), (20, 0));
        assert!(report.phase("nothing").is_err());
    }
}
