//! The types of JMAP data that have states and push (RFC 8620 §1.6, §7.1).

use std::fmt;

macro_rules! data_types {
    ($($variant:ident = $number:literal,)*) => {
        /// A type of object with a state. The number is what the store keeps: never reused.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DataType { $($variant = $number,)* }

        impl DataType {
            pub const ALL: &[DataType] = &[$(DataType::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $(DataType::$variant => stringify!($variant),)* }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                match name { $(stringify!($variant) => Some(DataType::$variant),)* _ => None }
            }

            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(DataType::$variant),)* _ => None }
            }
        }
    };
}

data_types! {
    Mailbox = 0,
    Thread = 1,
    Email = 2,
    EmailDelivery = 3,
    Identity = 4,
    EmailSubmission = 5,
    VacationResponse = 6,
    PushSubscription = 7,
    Quota = 8,
    SieveScript = 9,
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of [`DataType`]s.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DataTypes(u64);

impl DataTypes {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(u64::MAX);

    pub fn with(self, data_type: DataType) -> Self {
        Self(self.0 | 1 << data_type as u8)
    }

    pub fn contains(self, data_type: DataType) -> bool {
        self.0 & 1 << data_type as u8 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = DataType> {
        DataType::ALL
            .iter()
            .copied()
            .filter(move |&t| self.contains(t))
    }
}

impl FromIterator<DataType> for DataTypes {
    fn from_iter<I: IntoIterator<Item = DataType>>(types: I) -> Self {
        types.into_iter().fold(Self::NONE, Self::with)
    }
}
