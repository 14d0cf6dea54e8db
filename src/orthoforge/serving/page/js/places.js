// Where the canvas lies on the ground: a grid of square pixels in a projected CRS of EPSG, and the degrees of its points.

/* global proj4 */

const zoneOf = (lon) => (Math.floor((lon + 180) / 6) % 60) + 1;

/** A grid in the UTM zone of a place around it, its corner at whole pixels from the zone's origin. */
export function placeAt(lon, lat, pixel, width, height) {
  const zone = zoneOf(lon);
  const south = lat < 0;
  const place = { crs: (south ? 32700 : 32600) + zone, proj4: `+proj=utm +zone=${zone}${south ? " +south" : ""} +datum=WGS84 +units=m`, pixel };
  const [x, y] = proj4(place.proj4).forward([lon, lat]);
  const [left, top] = [Math.round(x / pixel) - Math.floor(width / 2), Math.round(y / pixel) + Math.floor(height / 2)];
  return { ...place, left: rounded(left * pixel), top: rounded(top * pixel) };
}

const rounded = (metres) => Math.round(metres * 1e6) / 1e6;

/** What the server said of a mask's grid as a place; null where it has none that a canvas can have. */
export function placeOf({ crs, proj4: definition, left, top, pixel_x: across, pixel_y: down }) {
  if (!crs || !definition || !(down > 0) || Math.abs(across / down - 1) > 1e-6 || /longlat/.test(definition)) return null;
  return { crs, proj4: definition, left, top, pixel: across };
}

const ground = (place, [x, y]) => [place.left + x * place.pixel, place.top - y * place.pixel];

export const toLonLat = (place, point) => proj4(place.proj4).inverse(ground(place, point));

export function toPixel(place, lonLat) {
  const [x, y] = proj4(place.proj4).forward(lonLat);
  return [(x - place.left) / place.pixel, (place.top - y) / place.pixel];
}

/** The same place with another size of the canvas ([width, height]), around the same middle. */
export function resized(place, from, to) {
  const [across, down] = [0, 1].map((i) => Math.floor(to[i] / 2) - Math.floor(from[i] / 2));
  return { ...place, left: rounded(place.left - across * place.pixel), top: rounded(place.top + down * place.pixel) };
}
