//! Makes what the compiler gives for the web console ready to be served.
//! Holds: every file but the page has its hash in its name, so it may be kept for ever; each is there plain, with gzip and with
//! brotli; the first load stays below [`FIRST_LOAD_OCTETS_MAX`].
//! Other half: `xtask/src/wasm.rs` compiles and runs this; `adapters/console` puts the result into the binary.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

/// What a browser fetches before it can show something, compressed.
const FIRST_LOAD_OCTETS_MAX: usize = 400_000;
/// Characters of a hash in a file's name.
const HASH_CHARS: usize = 16;
/// The files of `web-admin/static` that the page names, and that may name each other in this order.
const STATIC_FILES: [&str; 3] = ["icon.svg", "style.css", "boot.js"];
const PAGE: &str = "index.html";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, statics, out] = args.as_slice() else {
        eprintln!("usage: xtask-wasm MODULE.wasm FOLDER_OF_STATIC_FILES OUT");
        return ExitCode::FAILURE;
    };
    match make(module, statics, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask-wasm: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(module: &Path, statics: &Path, out: &Path) -> Result<()> {
    let mut site = Site::new(out)?;
    let mut bound = bind(module)?;
    for (address, script) in &bound.snippets {
        let name = site.add("snippet.js", script.as_bytes())?;
        bound.script = bound.script.replace(address, &format!("./{name}"));
    }
    let module = site.add("app.wasm", &bound.module)?;
    let script = site.add("app.js", bound.script.as_bytes())?;
    let mut names = vec![
        ("{{app.wasm}}".to_owned(), module),
        ("{{app.js}}".to_owned(), script),
    ];
    for file in STATIC_FILES {
        let text = filled(&statics.join(file), &names)?;
        names.push((format!("{{{{{file}}}}}"), site.add(file, text.as_bytes())?));
    }
    let page = filled(&statics.join(PAGE), &names)?;
    site.write(PAGE, page.as_bytes())?;
    site.report()
}

/// What wasm-bindgen makes of a compiled module.
struct Bound {
    /// Loads the module.
    script: String,
    module: Vec<u8>,
    /// Scripts that libraries bring, and the address by which `script` loads each.
    snippets: Vec<(String, String)>,
}

fn bind(module: &Path) -> Result<Bound> {
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(module)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .omit_default_module_path(true);
    let mut output = bindgen.generate_output()?;
    let inline = output.snippets().iter().flat_map(|(of, scripts)| {
        let named = scripts.iter().enumerate();
        named.map(move |(at, script)| (format!("./snippets/{of}/inline{at}.js"), script.clone()))
    });
    let files = output.local_modules().iter();
    let files = files.map(|(path, script)| (format!("./snippets/{path}"), script.clone()));
    let script = output.js().to_owned();
    let all = inline.chain(files);
    let snippets = all
        .filter(|(address, _)| script.contains(address))
        .collect();
    Ok(Bound {
        snippets,
        module: output.wasm_mut().emit_wasm(),
        script,
    })
}

/// A static file with the names of the others in it.
fn filled(path: &Path, names: &[(String, String)]) -> Result<String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = names
        .iter()
        .fold(text, |text, (place, name)| text.replace(place, name));
    match text.contains("{{") {
        true => Err(format!("{} names a file that isn't there yet", path.display()).into()),
        false => Ok(text),
    }
}

struct Site<'o> {
    out: &'o Path,
    /// (file, octets, with gzip, with brotli)
    sizes: Vec<(String, [usize; 3])>,
}

impl<'o> Site<'o> {
    fn new(out: &'o Path) -> Result<Self> {
        fs::create_dir_all(out)?;
        Ok(Self {
            out,
            sizes: Vec::new(),
        })
    }

    /// Writes a file under a name that has its hash, and returns that.
    fn add(&mut self, file: &str, octets: &[u8]) -> Result<String> {
        let (stem, extension) = file.rsplit_once('.').ok_or("a name without an extension")?;
        let hash = blake3::hash(octets).to_hex();
        let name = format!("{stem}-{}.{extension}", &hash[..HASH_CHARS]);
        self.write(&name, octets)?;
        Ok(name)
    }

    fn write(&mut self, name: &str, octets: &[u8]) -> Result<()> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(octets)?;
        let gzip = gzip.finish()?;
        let mut brotli = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams {
            quality: 11,
            lgwin: 22,
            size_hint: octets.len(),
            ..Default::default()
        };
        brotli::BrotliCompress(&mut &octets[..], &mut brotli, &parameters)?;
        let path = self.out.join(name);
        fs::write(&path, octets)?;
        fs::write(self.out.join(format!("{name}.gz")), &gzip)?;
        fs::write(self.out.join(format!("{name}.br")), &brotli)?;
        let sizes = [octets.len(), gzip.len(), brotli.len()];
        self.sizes.push((name.to_owned(), sizes));
        Ok(())
    }

    fn report(&self) -> Result<()> {
        let line = |name: &str, sizes: [usize; 3]| {
            let [plain, gzip, brotli] = sizes;
            eprintln!("xtask: {name:<32} {plain:>9} octets, gzip {gzip:>7}, brotli {brotli:>7}");
        };
        let mut sum = [0; 3];
        for (name, sizes) in &self.sizes {
            line(name, *sizes);
            for (sum, size) in sum.iter_mut().zip(sizes) {
                *sum += size;
            }
        }
        line("first load", sum);
        match sum[2] <= FIRST_LOAD_OCTETS_MAX {
            true => Ok(()),
            false => Err(format!(
                "the first load has {} octets with brotli; {FIRST_LOAD_OCTETS_MAX} are allowed",
                sum[2]
            )
            .into()),
        }
    }
}
