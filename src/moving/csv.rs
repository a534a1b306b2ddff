//! The file with the accounts of a move, as spreadsheets write it (RFC 4180).
//!
//! Holds: no password is in an error.

use jmap_core::auth::Secret;

/// Accounts of one file.
pub const ACCOUNTS_MAX: usize = 1_000_000;
/// Octets of the file.
pub const FILE_OCTETS_MAX: u64 = 256 << 20;

/// Who is to be moved to where.
#[derive(Clone, Debug)]
pub struct AccountRow {
    /// Here.
    pub account: String,
    /// There.
    pub user: String,
    /// Without: that of the command line.
    pub password: Option<Secret<String>>,
}

/// Reads rows of `account,user,password`, with these names in the first line, in any order; `password` may be left out.
pub fn read_accounts(text: &str) -> Result<Vec<AccountRow>, String> {
    let mut rows = rows(text)?.into_iter();
    let (_, names) = rows.next().ok_or("the file is empty")?;
    let names: Vec<String> = names
        .iter()
        .map(|name| {
            name.trim()
                .trim_start_matches('\u{feff}')
                .to_ascii_lowercase()
        })
        .collect();
    let column = |wanted: &str| names.iter().position(|name| name == wanted);
    let (Some(account), Some(user)) = (column("account"), column("user")) else {
        return Err(
            "the first line has to name the columns: account,user,password (password may be left out)"
                .to_owned(),
        );
    };
    let password = column("password");
    let mut accounts = Vec::new();
    for (line, mut fields) in rows {
        if fields.iter().all(|field| field.is_empty()) {
            continue;
        }
        if fields.len() != names.len() {
            let (found, wanted) = (fields.len(), names.len());
            return Err(format!(
                "line {line} has {found} columns, and the first line {wanted}"
            ));
        }
        if fields[account].is_empty() || fields[user].is_empty() {
            return Err(format!("line {line} has no account, or no user"));
        }
        if accounts.len() >= ACCOUNTS_MAX {
            return Err(format!("there are more than {ACCOUNTS_MAX} accounts"));
        }
        let password = password.map(|at| std::mem::take(&mut fields[at]));
        accounts.push(AccountRow {
            account: std::mem::take(&mut fields[account]),
            user: std::mem::take(&mut fields[user]),
            password: password
                .filter(|password| !password.is_empty())
                .map(Secret::new),
        });
    }
    match accounts.is_empty() {
        true => Err("there are no accounts in it".to_owned()),
        false => Ok(accounts),
    }
}

/// Rows with the numbers of the lines that they begin in.
fn rows(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begin) = (1, 1);
    let mut chars = text.chars().peekable();
    let mut is_quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if is_quoted => is_quoted = false,
            '"' if field.is_empty() => is_quoted = true,
            ',' if !is_quoted => row.push(std::mem::take(&mut field)),
            '\r' if !is_quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut field));
                rows.push((begin, std::mem::take(&mut row)));
                line += 1;
                begin = line;
            }
            c => {
                line += usize::from(c == '\n');
                field.push(c);
            }
        }
    }
    if is_quoted {
        return Err(format!(
            "the quotation that begins in line {begin} doesn't end"
        ));
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push((begin, row));
    }
    Ok(rows)
}
