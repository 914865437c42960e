//! Figures as a person reads them, for text and terminal.

/// A whole number with its thousands apart: `1,234,567`.
pub(crate) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How often a second: a digit behind the point while that says something.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        few if few < 99.95 => format!("{few:.1}"),
        many => whole(many.round() as u64),
    }
}

/// Microseconds as milliseconds, with as many digits as a histogram of two digits is good for.
pub(crate) fn ms(us: f64) -> String {
    match us / 1_000.0 {
        ms if ms < 9.995 => format!("{ms:.2}"),
        ms if ms < 99.95 => format!("{ms:.1}"),
        ms => whole(ms.round() as u64),
    }
}

/// Bytes in the unit that leaves one to four digits before the point.
pub(crate) fn bytes(bytes: f64) -> String {
    let (size, sign) = (bytes.abs(), if bytes < 0.0 { "-" } else { "" });
    match size {
        b if b < 1_000.0 => format!("{sign}{b:.0} B"),
        b if b < 1_000_000.0 => format!("{sign}{:.1} KB", b / 1e3),
        b if b < 1e9 => format!("{sign}{:.1} MB", b / 1e6),
        b => format!("{sign}{:.2} GB", b / 1e9),
    }
}

/// A length of time: `0.4 s`, `59.9 s`, `12:05`, `3:00:00`.
pub(crate) fn time(seconds: f64) -> String {
    if seconds < 99.95 {
        return format!("{seconds:.1} s");
    }
    clock(seconds.round() as u64)
}

/// A length of time in whole seconds, as a clock shows it: `0:07`, `12:05`, `3:00:00`.
pub(crate) fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// The words of an error or a command on one line, without anything that moves a terminal's cursor.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_say_something() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(whole), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.34, 99.94, 99.96, 12_345.6].map(rate), ["0.0", "0.3", "99.9", "100", "12,346"]);
        assert_eq!(
            [4.0, 740.0, 9_994.0, 9_996.0, 99_960.0, 3_600_000_000.0].map(ms),
            ["0.00", "0.74", "9.99", "10.0", "100", "3,600,000"]
        );
        assert_eq!(
            [0.0, 999.0, 6_842.0, 1.5e8, -2_048.0, 2.5e10].map(bytes),
            ["0 B", "999 B", "6.8 KB", "150.0 MB", "-2.0 KB", "25.00 GB"]
        );
        assert_eq!([0.04, 59.94, 100.0, 3_599.9].map(time), ["0.0 s", "59.9 s", "1:40", "1:00:00"]);
        assert_eq!(one_line("a\nb\u{1b}[2J"), "a b [2J");
    }
}
