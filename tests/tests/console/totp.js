// The code that a device shows (RFC 6238): arguments are the secret in base 32, and how many steps from now.
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const bits = [...arguments[0]].map((letter) => letters.indexOf(letter).toString(2).padStart(5, '0')).join('');
const octets = bits.match(/.{8}/g).map((octet) => parseInt(octet, 2));
const step = BigInt(Math.floor(Date.now() / 30000) + arguments[1]);
const message = new DataView(new ArrayBuffer(8));
message.setBigUint64(0, step);
const hmac = { name: 'HMAC', hash: 'SHA-1' };
return crypto.subtle.importKey('raw', new Uint8Array(octets), hmac, false, ['sign'])
  .then((key) => crypto.subtle.sign('HMAC', key, message))
  .then((tag) => {
    const view = new DataView(tag);
    const number = view.getUint32(view.getUint8(19) & 15) & 0x7fffffff;
    return String(number % 1000000).padStart(6, '0');
  });
