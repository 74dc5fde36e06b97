//! Several rows in one stretch of tokens.

/// How many rows are in each pack of at most `capacity` tokens, taken in their order.
///
/// A row that does not fit behind those before it begins the next pack; one that is longer than the
/// capacity has a pack of its own.
pub fn packs(lengths: &[usize], capacity: usize) -> Vec<usize> {
    let mut packs: Vec<usize> = Vec::new();
    let mut room = 0;
    for &length in lengths {
        match packs.last_mut() {
            Some(rows) if length <= room => {
                *rows += 1;
                room -= length;
            }
            _ => {
                packs.push(1);
                room = capacity.saturating_sub(length);
            }
        }
    }
    packs
}

/// Puts each row, in this order, into the first pack that has room for it.
///
/// The first row of a pack fits into none of the packs before it, so [`packs`] over any of them, in this
/// order, finds the same packs again.
pub(super) fn first_fit(order: &[usize], lengths: &[usize], capacity: usize) -> Vec<Vec<usize>> {
    let mut packs: Vec<Vec<usize>> = Vec::new();
    let mut rooms = Rooms::new(order.len(), capacity);
    for &row in order {
        let length = lengths[row];
        let pack = rooms.first(length).unwrap_or(packs.len());
        if pack == packs.len() {
            packs.push(Vec::new());
        }
        packs[pack].push(row);
        rooms.take(pack, length);
    }
    packs
}

/// The room left in each pack, those that do not exist yet included, as a tree of maxima.
struct Rooms {
    tree: Vec<usize>,
    leaves: usize,
}

impl Rooms {
    fn new(packs: usize, capacity: usize) -> Self {
        let leaves = packs.next_power_of_two();
        Self {
            tree: vec![capacity; 2 * leaves],
            leaves,
        }
    }

    /// The first pack with room for so many tokens.
    fn first(&self, length: usize) -> Option<usize> {
        if self.tree[1] < length {
            return None;
        }
        let mut node = 1;
        while node < self.leaves {
            node *= 2;
            if self.tree[node] < length {
                node += 1;
            }
        }
        Some(node - self.leaves)
    }

    fn take(&mut self, pack: usize, length: usize) {
        let mut node = pack + self.leaves;
        self.tree[node] = self.tree[node].saturating_sub(length);
        while node > 1 {
            node /= 2;
            self.tree[node] = self.tree[2 * node].max(self.tree[2 * node + 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_where_there_is_room_first() {
        let lengths = [5, 4, 3, 6, 2, 1];
        let order = [0, 1, 2, 3, 4, 5];
        assert_eq!(
            first_fit(&order, &lengths, 8),
            [vec![0, 2], vec![1, 4, 5], vec![3]]
        );
    }

    #[test]
    fn a_row_longer_than_a_pack_is_alone() {
        let lengths = [3, 20, 3];
        assert_eq!(first_fit(&[0, 1, 2], &lengths, 8), [vec![0, 2], vec![1]]);
        assert_eq!(packs(&lengths, 8), [1, 1, 1]);
        assert_eq!(packs(&[20, 20], 8), [1, 1]);
        assert_eq!(first_fit(&[1, 0], &[20, 20], 8), [[1], [0]]);
    }

    #[test]
    fn rows_in_their_order_find_their_packs_again() {
        for capacity in [1, 7, 40, 100, 333] {
            let lengths: Vec<usize> = (0..500).map(|row| row * 37 % 101 + 1).collect();
            let order: Vec<usize> = (0..500).map(|row| row * 7 % 500).collect();
            let first = first_fit(&order, &lengths, capacity);
            // Any of the packs, as long as they keep their order.
            for step in [1, 2, 3, 7] {
                let some: Vec<_> = first.iter().step_by(step).collect();
                let rows = some.iter().flat_map(|pack| pack.iter());
                let rows: Vec<usize> = rows.map(|row| lengths[*row]).collect();
                let counts: Vec<_> = some.iter().map(|pack| pack.len()).collect();
                assert_eq!(packs(&rows, capacity), counts, "{capacity} {step}");
            }
        }
    }
}
