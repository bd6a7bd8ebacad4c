//! One open file of cfitsio, closed when dropped: the only `unsafe` code of the project.
//!
//! Every call passes pointers to memory that lives across the call, of the length cfitsio is told; cfitsio keeps none of them.
//! A [`Handle`] is neither `Send` nor `Sync`: it stays on the thread that opened it.

use super::card_format::{RECORD_LENGTH, Record};
use fitsio_sys::{self as sys, fitsfile};
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_ulong};
use std::path::Path;
use std::sync::Once;

/// cfitsio's own bound (FLEN_FILENAME), less some room.
const MAXIMUM_PATH: usize = 1_000;
/// FLEN_STATUS.
const STATUS_TEXT: usize = 31;
/// FLEN_CARD.
const CARD_BUFFER: usize = 81;
const READ_ONLY: c_int = 0;
const TYPE_UNSIGNED_16: c_int = 20;
const TYPE_BYTE: c_int = 11;

/// A status of cfitsio that is not zero.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cfitsio status {status}: {text}")]
pub(super) struct CfitsioError {
    pub status: c_int,
    pub text: String,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Handle {
    /// Valid from open to close; null after close.
    file: *mut fitsfile,
}

fn check(status: c_int) -> Result<(), CfitsioError> {
    if status == 0 {
        return Ok(());
    }
    let mut text: [c_char; STATUS_TEXT] = [0; STATUS_TEXT];
    // SAFETY: ffgerr writes at most FLEN_STATUS characters with a final NUL; ffcmsg empties cfitsio's own message stack.
    let text = unsafe {
        sys::ffgerr(status, text.as_mut_ptr());
        sys::ffcmsg();
        CStr::from_ptr(text.as_ptr())
    };
    Err(CfitsioError { status, text: text.to_string_lossy().into_owned() })
}

/// cfitsio fills its table of drivers at the first open without a lock: have that done once, by one thread.
fn initialise() {
    static INITIALISED: Once = Once::new();
    INITIALISED.call_once(|| {
        let mut file = std::ptr::null_mut();
        let mut status = 0;
        // SAFETY: the name is NUL-terminated, the two others are live locals. The open fails, and then `file` is null.
        unsafe {
            sys::ffdkopn(&mut file, c"/dev/null/initialisation".as_ptr(), READ_ONLY, &mut status);
            sys::ffcmsg();
        }
    });
}

fn path_text(path: &Path) -> Result<CString, CfitsioError> {
    let refused = |text: &str| CfitsioError { status: -1, text: text.to_owned() };
    let bytes = path.as_os_str().as_encoded_bytes();
    if !path.is_absolute() {
        return Err(refused("the path is not absolute"));
    }
    if bytes.len() > MAXIMUM_PATH {
        return Err(refused("the path is too long"));
    }
    CString::new(bytes).map_err(|_| refused("the path holds a NUL"))
}

/// Reads single values of a column with one of cfitsio's typed functions.
macro_rules! column_reader {
    ($name:ident, $function:ident, $value:ty, $null:expr) => {
        pub fn $name(&mut self, column: usize, rows: usize) -> Result<Vec<$value>, CfitsioError> {
            let mut values = vec![<$value>::default(); rows];
            let (mut any_null, mut status) = (0, 0);
            if rows > 0 {
                // SAFETY: `values` holds `rows` elements of the type the function writes; the file is open.
                unsafe {
                    sys::$function(
                        self.file,
                        column as c_int,
                        1,
                        1,
                        rows as i64,
                        $null,
                        values.as_mut_ptr(),
                        &mut any_null,
                        &mut status,
                    );
                }
            }
            check(status).map(|()| values)
        }
    };
}

/// Writes single values into a column with one of cfitsio's typed functions.
macro_rules! column_writer {
    ($name:ident, $function:ident, $value:ty) => {
        pub fn $name(&mut self, column: usize, values: &[$value]) -> Result<(), CfitsioError> {
            let mut status = 0;
            if !values.is_empty() {
                // SAFETY: the function reads `values.len()` elements and, its type notwithstanding, writes none.
                unsafe {
                    sys::$function(
                        self.file,
                        column as c_int,
                        1,
                        1,
                        values.len() as i64,
                        values.as_ptr().cast_mut(),
                        &mut status,
                    );
                }
            }
            check(status)
        }
    };
}

impl Handle {
    /// Opens a file for reading. The name is taken literally (no `[...]`, no `://`).
    pub fn open(path: &Path) -> Result<Self, CfitsioError> {
        initialise();
        let name = path_text(path)?;
        let (mut file, mut status) = (std::ptr::null_mut(), 0);
        // SAFETY: the name is NUL-terminated; `file` and `status` are live locals. On failure `file` stays null.
        unsafe { sys::ffdkopn(&mut file, name.as_ptr(), READ_ONLY, &mut status) };
        check(status).map(|()| Self { file })
    }

    /// Creates a file that must not exist yet. The name is taken literally.
    pub fn create(path: &Path) -> Result<Self, CfitsioError> {
        initialise();
        let name = path_text(path)?;
        let (mut file, mut status) = (std::ptr::null_mut(), 0);
        // SAFETY: as in `open`.
        unsafe { sys::ffdkinit(&mut file, name.as_ptr(), &mut status) };
        check(status).map(|()| Self { file })
    }

    pub fn hdu_count(&mut self) -> Result<usize, CfitsioError> {
        let (mut count, mut status) = (0, 0);
        // SAFETY: the file is open, the two others are live locals.
        unsafe { sys::ffthdu(self.file, &mut count, &mut status) };
        check(status).map(|()| usize::try_from(count).unwrap_or_default())
    }

    /// Goes to an HDU, counted from 1.
    pub fn go_to(&mut self, number: usize) -> Result<(), CfitsioError> {
        let (mut kind, mut status) = (0, 0);
        // SAFETY: the file is open, the two others are live locals.
        unsafe { sys::ffmahd(self.file, number as c_int, &mut kind, &mut status) };
        check(status)
    }

    /// All card images of the current HDU before END.
    pub fn records(&mut self) -> Result<Vec<Record>, CfitsioError> {
        let (mut count, mut room, mut status) = (0, 0, 0);
        // SAFETY: the file is open, the others are live locals.
        unsafe { sys::ffghsp(self.file, &mut count, &mut room, &mut status) };
        check(status)?;
        let mut records = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        for number in 1..=count {
            let mut card: [c_char; CARD_BUFFER] = [0; CARD_BUFFER];
            // SAFETY: ffgrec writes at most FLEN_CARD characters with a final NUL.
            unsafe { sys::ffgrec(self.file, number, card.as_mut_ptr(), &mut status) };
            check(status)?;
            let mut record = [b' '; RECORD_LENGTH];
            for (place, &character) in record.iter_mut().zip(card.iter().take_while(|&&c| c != 0)) {
                *place = character as u8;
            }
            records.push(record);
        }
        Ok(records)
    }

    /// The first `count` pixels of the current image, BSCALE and BZERO applied, BLANK as NaN.
    pub fn read_pixels(&mut self, count: usize) -> Result<Vec<f32>, CfitsioError> {
        let mut pixels = vec![0_f32; count];
        let (mut any_null, mut status) = (0, 0);
        // SAFETY: `pixels` holds `count` elements; the file is open.
        unsafe {
            sys::ffgpve(
                self.file,
                1,
                1,
                count as i64,
                f32::NAN,
                pixels.as_mut_ptr(),
                &mut any_null,
                &mut status,
            );
        }
        check(status).map(|()| pixels)
    }

    column_reader!(read_logical, ffgcvl, c_char, 0);
    column_reader!(read_integer16, ffgcvi, i16, 0);
    column_reader!(read_integer32, ffgcvk, i32, 0);
    column_reader!(read_integer64, ffgcvjj, i64, 0);
    column_reader!(read_float32, ffgcve, f32, 0.0);
    column_reader!(read_float64, ffgcvd, f64, 0.0);

    /// Reads a text column of `width` characters; the bytes of each field without what follows a NUL.
    pub fn read_text(
        &mut self,
        column: usize,
        rows: usize,
        width: usize,
    ) -> Result<Vec<Vec<u8>>, CfitsioError> {
        if rows == 0 || width == 0 {
            return Ok(vec![Vec::new(); rows]);
        }
        let mut fields: Vec<Vec<c_char>> = vec![vec![0; width + 1]; rows];
        let mut pointers: Vec<*mut c_char> =
            fields.iter_mut().map(|field| field.as_mut_ptr()).collect();
        let (mut any_null, mut status) = (0, 0);
        // SAFETY: `pointers` holds `rows` pointers, each to `width + 1` characters that no one else touches meanwhile: what
        // ffgcvs asks for a column of that width.
        unsafe {
            sys::ffgcvs(
                self.file,
                column as c_int,
                1,
                1,
                rows as i64,
                std::ptr::null_mut(),
                pointers.as_mut_ptr(),
                &mut any_null,
                &mut status,
            );
        }
        check(status)?;
        Ok(fields
            .iter()
            .map(|field| field.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect())
            .collect())
    }

    /// Appends an HDU with these cards; END is added.
    pub fn append_hdu(&mut self, records: &[Record]) -> Result<(), CfitsioError> {
        let mut status = 0;
        // SAFETY: the file is open, `status` is a live local.
        unsafe { sys::ffcrhd(self.file, &mut status) };
        check(status)?;
        for record in records {
            let card = card_text(record)?;
            // SAFETY: the card is NUL-terminated and not written to.
            unsafe { sys::ffprec(self.file, card.as_ptr(), &mut status) };
            check(status)?;
        }
        // SAFETY: the file is open; cfitsio now reads the layout from the cards.
        unsafe { sys::ffrdef(self.file, &mut status) };
        check(status)
    }

    /// Replaces the first card of that keyword.
    pub fn replace_card(&mut self, keyword: &CStr, record: &Record) -> Result<(), CfitsioError> {
        let card = card_text(record)?;
        let mut status = 0;
        // SAFETY: both texts are NUL-terminated and not written to.
        unsafe { sys::ffmcrd(self.file, keyword.as_ptr(), card.as_ptr(), &mut status) };
        check(status)
    }

    /// Writes all pixels of the current image as they are.
    pub fn write_float_pixels(&mut self, pixels: &[f32]) -> Result<(), CfitsioError> {
        let mut status = 0;
        if !pixels.is_empty() {
            // SAFETY: ffppre reads `pixels.len()` elements and writes none.
            unsafe {
                sys::ffppre(
                    self.file,
                    1,
                    1,
                    pixels.len() as i64,
                    pixels.as_ptr().cast_mut(),
                    &mut status,
                );
            }
        }
        check(status)
    }

    /// Writes all pixels of the current image, through its BZERO.
    pub fn write_unsigned16_pixels(&mut self, pixels: &[u16]) -> Result<(), CfitsioError> {
        self.write_pixels(TYPE_UNSIGNED_16, pixels)
    }

    /// Writes all pixels of the current image.
    pub fn write_byte_pixels(&mut self, pixels: &[u8]) -> Result<(), CfitsioError> {
        self.write_pixels(TYPE_BYTE, pixels)
    }

    fn write_pixels<T>(&mut self, data_type: c_int, pixels: &[T]) -> Result<(), CfitsioError> {
        let mut status = 0;
        if !pixels.is_empty() {
            // SAFETY: the two callers pass the data type that belongs to `T`; ffppr reads `pixels.len()` of them and writes
            // none.
            unsafe {
                sys::ffppr(
                    self.file,
                    data_type,
                    1,
                    pixels.len() as i64,
                    pixels.as_ptr().cast_mut().cast(),
                    &mut status,
                );
            }
        }
        check(status)
    }

    column_writer!(write_integer16, ffpcli, i16);
    column_writer!(write_integer32, ffpclk, i32);
    column_writer!(write_integer64, ffpcljj, i64);
    column_writer!(write_float32, ffpcle, f32);
    column_writer!(write_float64, ffpcld, f64);

    /// Writes texts that are already filled to the width of the column.
    pub fn write_text(&mut self, column: usize, texts: &[CString]) -> Result<(), CfitsioError> {
        let mut pointers: Vec<*mut c_char> =
            texts.iter().map(|text| text.as_ptr().cast_mut()).collect();
        let mut status = 0;
        if !texts.is_empty() {
            // SAFETY: `pointers` holds as many NUL-terminated texts as it says; ffpcls reads them and writes none.
            unsafe {
                sys::ffpcls(
                    self.file,
                    column as c_int,
                    1,
                    1,
                    texts.len() as i64,
                    pointers.as_mut_ptr(),
                    &mut status,
                );
            }
        }
        check(status)
    }

    /// Sums of the data and of the whole current HDU, with its cards as they stand.
    pub fn sums(&mut self) -> Result<(u32, u32), CfitsioError> {
        let (mut data, mut whole, mut status): (c_ulong, c_ulong, c_int) = (0, 0, 0);
        // SAFETY: the file is open, the others are live locals.
        unsafe { sys::ffgcks(self.file, &mut data, &mut whole, &mut status) };
        check(status).map(|()| (data as u32, whole as u32))
    }

    /// Whether DATASUM and CHECKSUM of the current HDU are right; absent ones are.
    pub fn checksums_are_right(&mut self) -> Result<(bool, bool), CfitsioError> {
        let (mut data, mut whole, mut status) = (0, 0, 0);
        // SAFETY: the file is open, the others are live locals.
        unsafe { sys::ffvcks(self.file, &mut data, &mut whole, &mut status) };
        check(status).map(|()| (data != -1, whole != -1))
    }

    /// Closes the file, writing what is left: the one place where a late write error shows.
    pub fn close(mut self) -> Result<(), CfitsioError> {
        let file = std::mem::replace(&mut self.file, std::ptr::null_mut());
        let mut status = 0;
        // SAFETY: the file is open, and is not used again: the handle holds null from now on.
        unsafe { sys::ffclos(file, &mut status) };
        check(status)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.file.is_null() {
            let mut status: c_int = 0;
            // SAFETY: the file is open and this is the last use of it. An error here follows one already told.
            unsafe {
                sys::ffclos(self.file, &mut status);
                sys::ffcmsg();
            }
        }
    }
}

fn card_text(record: &Record) -> Result<CString, CfitsioError> {
    CString::new(record.as_slice())
        .map_err(|_| CfitsioError { status: -1, text: "a card holds a NUL".to_owned() })
}

// The types cfitsio's functions take on this platform.
const _: () = assert!(size_of::<c_int>() == 4 && size_of::<c_long>() >= 4);
